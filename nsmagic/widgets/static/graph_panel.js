// One panel of a graph: its numbers, its keys, and the chart itself by uPlot.

const STRIP = 36; // pixels above a chart for two rows of words
const LABELS = { oom: "☠", max: "▲", high: "▲", throttled: "◔", pids: "✕", frozen: "❄", thawed: "☀", born: "+", died: "−", limit: "✎", gone: "■" };
const LOUD = new Set(["oom", "gone", "frozen", "max", "pids"]); // drawn with words, in colour

class Panel {
  constructor(view, plot) {
    this.view = view;
    this.plot = plot;
    this.fields = view.history.fields.filter((field) => field.plot === plot);
    this.unit = this.fields.find((field) => field.role !== "shade").unit;
    this.readout = make("span", { class: "nsm-graph-readout nsm-grow" });
    this.at = make("span", { class: "nsm-graph-at nsm-dim" });
    this.place = make("div", { class: "nsm-graph-chart", tabindex: 0, role: "img" });
    this.el = make("section", { class: "nsm-graph-panel" },
      make("div", { class: "nsm-bar" }, make("strong", {}, view.titles[plot]), this.at, this.readout), this.place);
    this.place.addEventListener("keydown", (event) => this.key(event));
    this.known = "";
  }

  // Lines that this machine has; a stack adds them up from below.
  series() {
    return this.fields.filter((field) => field.role !== "shade" && this.view.history.known(field));
  }

  data(from, to) {
    const { history } = this.view;
    const cut = (field) => history.columns[history.fields.indexOf(field)].slice(from, to);
    const at = history.at.slice(from, to);
    const stack = this.lines.filter((field) => field.role === "stack");
    const sums = new Map();
    let below = null;
    for (const field of stack) {
      const values = cut(field);
      const base = below;
      below = base ? values.map((value, row) => (value === null ? base[row] : value + (base[row] ?? 0))) : values;
      sums.set(field, below);
    }
    return [at, ...this.lines.map((field) => sums.get(field) ?? cut(field))];
  }

  build(width) {
    this.chart?.destroy();
    this.lines = this.series();
    const stacked = this.lines.filter((field) => field.role === "stack");
    const { colours, text, grid } = this.view;
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, size: 4 }, font: "11px system-ui, sans-serif" };
    const bands = stacked.slice(1).map((field) => [this.lines.indexOf(field) + 1, this.lines.indexOf(field)]);
    this.chart = new uPlot({
      width, height: STRIP + (this.plot === "mem" ? 170 : 104),
      padding: [STRIP, 18, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: this.view.key, setSeries: false }, points: { size: 6 }, drag: { x: true, y: false },
        bind: { dblclick: (_, target, handler) => (event) => { this.view.follow(this.view.span); handler(event); } } },
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high * 1.12, this.least())] } },
      axes: [
        { ...axis, size: 26, values: (_, ticks) => ticks.map((at) => this.clock(at)), incrs: [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600] },
        { ...axis, size: 64, values: (_, ticks) => ticks.map((value) => brief(value, this.unit)),
          ...(this.unit === "bytes" || this.unit === "B/s" ? { incrs: BINARY } : {}),
          ...(this.unit === "count" ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000, 50000] } : {}), space: 28 },
      ],
      series: [{}, ...this.lines.map((field) => this.style(field, colours))],
      bands: bands.map((pair) => ({ series: pair, fill: this.shade(this.lines[pair[0] - 1], colours) })), // [upper, lower]
      hooks: {
        drawClear: [(chart) => this.background(chart)],
        draw: [(chart) => this.marks(chart)],
        setSelect: [(chart) => this.zoomed(chart)],
        setCursor: [() => this.tell()],
      },
    }, this.data(0, 0), this.place);
    this.known = this.lines.map((field) => field.name).join();
  }

  least() { return { bytes: 2 ** 20, "B/s": 1024, CPUs: 0.1, share: 0.05, count: 4 }[this.unit] ?? 1; }

  clock(at) {
    const left = Math.round((at - Math.floor(at / 60) * 60) * 10) / 10;
    return at < 60 ? `${+at.toFixed(1)} s` : `${Math.floor(at / 60)}:${String(left).padStart(2, "0")}`;
  }

  shade(field, colours) { return `${turn(colours, field.colour)}${field.role === "stack" ? "8c" : "47"}`; }

  style(field, colours) {
    const stroke = turn(colours, field.colour);
    const dash = { limit: [7, 4], peak: [2, 3] }[field.role];
    const filled = field.role === "area" || (field.role === "stack" && field === this.lines.find((each) => each.role === "stack"));
    return {
      label: field.label, stroke, dash, spanGaps: false,
      width: field.role === "limit" ? 2 : field.role === "stack" ? 1.25 : 1.5,
      fill: filled ? this.shade(field, colours) : undefined,
      paths: field.role === "limit" || field.role === "peak" ? uPlot.paths.stepped({ align: 1 }) : undefined,
      points: { show: false },
    };
  }

  // Frozen times and throttled shares lie behind the lines.
  background(chart) {
    const { ctx, bbox } = chart;
    const { history } = this.view;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = this.view.ice;
    for (const [from, to] of this.view.frozen()) {
      const [a, b] = [chart.valToPos(from, "x", true), chart.valToPos(to, "x", true)];
      ctx.fillRect(a, bbox.top, b - a, bbox.height);
    }
    const field = this.fields.find((each) => each.role === "shade");
    const column = field ? history.columns[history.fields.indexOf(field)] : [];
    ctx.fillStyle = turn(this.view.colours, field?.colour ?? 0);
    const { min, max } = chart.scales.x;
    for (let row = Math.max(1, history.index(min) - 1); row < column.length && history.at[row - 1] <= max; row += 1) {
      const share = column[row];
      if (!share) continue;
      const [a, b] = [chart.valToPos(history.at[row - 1], "x", true), chart.valToPos(history.at[row], "x", true)];
      ctx.globalAlpha = 0.12 + 0.3 * share;
      ctx.fillRect(a, bbox.top, Math.max(1, b - a), bbox.height);
    }
    ctx.restore();
  }

  // Events: a line, and the words where there is room; all of them are listed below the panels.
  marks(chart) {
    const { ctx, bbox } = chart;
    const { min, max } = chart.scales.x;
    const ratio = devicePixelRatio;
    const ends = [0, 0]; // where the words of each row end
    const strip = bbox.top - STRIP * ratio;
    ctx.save();
    ctx.textAlign = "left";
    ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    for (const event of this.view.history.events) {
      if (event.at < min || event.at > max || (event.plot && event.plot !== this.plot)) continue;
      const x = chart.valToPos(event.at, "x", true);
      const loud = LOUD.has(event.kind);
      const tone = loud ? this.view.tone(event.kind) : this.view.quiet;
      ctx.strokeStyle = tone;
      ctx.lineWidth = (event.kind === "oom" ? 2 : 1) * ratio;
      ctx.setLineDash(loud ? [] : [2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top - 2 * ratio);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (!event.plot && this !== this.view.panels[0]) continue; // said once for all panels
      const words = `${LABELS[event.kind] ?? "•"} ${event.text}`;
      const width = ctx.measureText(words).width + 6 * ratio;
      const most = bbox.left + bbox.width - width;
      let left = Math.max(bbox.left, Math.min(x + 3 * ratio, most));
      let rank = ends.findIndex((end) => end <= left);
      if (rank < 0 && loud) { // these are always said, if not just above their line
        rank = ends.indexOf(Math.min(...ends));
        left = ends[rank];
      }
      if (rank < 0 || left > most + 1) continue;
      ends[rank] = left + width + 2 * ratio;
      const top = strip + (1 - rank) * 16 * ratio;
      ctx.setLineDash([]);
      ctx.lineWidth = ratio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(Math.max(left, Math.min(x, left + width)), top + 14 * ratio);
      ctx.stroke();
      ctx.fillStyle = tone;
      ctx.fillText(words, left + 3 * ratio, top + 2 * ratio);
    }
    ctx.restore();
  }

  zoomed(chart) {
    const { left, width } = chart.select;
    if (width < 4) return;
    this.view.zoom(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  update(from, to, min, max, width) {
    const known = this.series().map((field) => field.name).sort().join();
    if (!this.chart || known !== this.names || this.view.repaint) {
      this.names = known;
      this.build(width);
    } else if (this.chart.width !== width) this.chart.setSize({ width, height: this.chart.height });
    this.chart.setData(this.data(from, to), false);
    this.chart.batch(() => {
      this.chart.setScale("x", { min, max });
    });
    // Below a pointer that rests lies another sample now, and uPlot looks only when it moves.
    const { left, top } = this.chart.cursor;
    if (left >= 0) this.chart.setCursor({ left, top });
    else this.tell();
  }

  tell() {
    const { history } = this.view;
    const offset = this.view.from ?? 0;
    const hovered = this.chart?.cursor.idx ?? null;
    const row = hovered === null ? history.at.length - 1 : hovered + offset;
    const parts = this.fields.filter((field) => history.known(field)).map((field) => {
      const value = history.columns[history.fields.indexOf(field)][row] ?? null;
      return make("span", { class: "nsm-graph-value", title: field.meaning || field.label },
        make("i", { class: `nsm-swatch nsm-${field.role}`, style: `--tone: ${turn(this.view.colours, field.colour)}` }),
        `${field.label} `, make("b", {}, value === null && field.role === "limit" ? "max" : show(value, field.unit)));
    });
    const at = hovered !== null && history.at[row] !== undefined ? `at ${this.clock(history.at[row])}` : "";
    const text = [at, ...parts.map((part) => part.textContent)].filter(Boolean).join(", ");
    if (text === this.told) return;
    this.told = text;
    this.at.textContent = at;
    this.readout.replaceChildren(...parts);
    this.place.setAttribute("aria-label", `${this.view.titles[this.plot]}: ${text}`);
  }

  key(event) {
    const { chart } = this;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && chart) {
      const last = chart.data[0].length - 1;
      const row = Math.max(0, Math.min(last, (chart.cursor.idx ?? last) + step * (event.shiftKey ? 10 : 1)));
      chart.setCursor({ left: chart.valToPos(chart.data[0][row], "x"), top: 20 });
    } else if (event.key === "+" || event.key === "=") this.view.scale(0.5);
    else if (event.key === "-") this.view.scale(2);
    else if (event.key === "Escape") this.view.follow(this.view.span);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
