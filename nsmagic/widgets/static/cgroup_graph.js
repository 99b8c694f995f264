// The live graph of a cgroup: panels below each other, one time axis, events, and its buttons.

const SPANS = [["30 s", 30], ["2 min", 120], ["All", Infinity]];

class GraphView {
  constructor(model, el, history) {
    this.model = model;
    this.el = el;
    this.history = history;
    this.titles = model.get("titles");
    this.key = `nsm-${Math.random()}`;
    this.span = 30;
    this.window = null; // fixed by a zoom or a pause
    this.paused = false;
    this.draw = perFrame(() => this.render());
    this.build();
    this.stops = [onTheme(() => { this.repaint = true; this.draw(); }), present(model), instead(model)];
    this.size = new ResizeObserver(this.draw);
    this.size.observe(this.el);
    this.repaint = true;
    this.draw();
  }

  build() {
    this.state = make("span", { class: "nsm-graph-state", role: "status" });
    this.spans = SPANS.map(([text, seconds]) => make("button", {
      class: "nsm-button", type: "button", "aria-pressed": "false", onclick: () => this.follow(seconds),
    }, text));
    this.pause = make("button", { class: "nsm-button", type: "button", "aria-pressed": "false",
      title: "Stop the picture; what happens meanwhile is kept", onclick: () => this.hold(!this.paused) }, "Pause");
    this.panels = this.model.get("plots").map((plot) => new Panel(this, plot));
    this.controls = new Controls(this);
    this.log = make("ol", { class: "nsm-graph-log", "aria-label": "What happened", "aria-live": "polite" });
    this.missing = make("p", { class: "nsm-dim" });
    this.el.classList.add("nsm", "nsm-graph");
    ownKeys(this.el);
    this.el.append(
      make("div", { class: "nsm-bar" },
        make("p", { class: "nsm-title" }, `cgroup ${this.model.get("name")}`), this.state, make("span", { class: "nsm-grow" }),
        ...this.spans, this.pause),
      ...this.panels.map((panel) => panel.el), this.missing, this.controls.el, this.log);
  }

  stop() {
    this.stops.forEach((stop) => stop());
    this.size.disconnect();
    this.draw.cancel();
    this.panels.forEach((panel) => panel.chart?.destroy());
  }

  paint() {
    const dark = isDark(this.el);
    this.colours = this.model.get("palette")[dark ? "dark" : "light"];
    this.text = dark ? "#c9d1d9" : "#3d444d";
    this.grid = dark ? "#ffffff1c" : "#0000001a";
    this.paper = dark ? "#111" : "#fff";
    this.quiet = dark ? "#9aa4b0" : "#59636e";
    this.ice = dark ? "#58b4f033" : "#0067a824";
    this.red = dark ? "#ff7b72" : "#b3001b";
  }

  tone(kind) {
    if (kind === "oom") return this.red;
    if (kind === "frozen") return turn(this.colours, 2);
    if (kind === "gone") return this.text;
    return turn(this.colours, 1);
  }

  follow(span) {
    this.span = span;
    this.window = null;
    this.hold(false);
  }

  hold(paused) {
    this.paused = paused;
    this.pause.setAttribute("aria-pressed", paused);
    this.pause.textContent = paused ? "Go on" : "Pause";
    if (paused) this.window ??= this.reach();
    else if (!this.zooming) this.window = null;
    this.zooming = false;
    this.draw();
  }

  zoom(min, max) {
    this.window = [min, max];
    this.draw();
  }

  scale(factor) {
    const [min, max] = this.reach();
    const half = ((max - min) / 2) * factor;
    const middle = (min + max) / 2;
    this.zoom(Math.max(0, middle - half), Math.max(1, middle + half));
  }

  reach() {
    if (this.window) return this.window;
    const end = this.history.at.at(-1) ?? 0;
    const first = this.history.at[0] ?? 0;
    const from = Math.max(first, end - this.span);
    return [from, Math.max(end, from + Math.min(this.span, 10))];
  }

  frozen() {
    const times = [];
    let since = null;
    for (const event of this.history.events) {
      if (event.kind === "frozen") since = event.at;
      else if (since !== null && (event.kind === "thawed" || event.kind === "gone")) {
        times.push([since, event.at]);
        since = null;
      }
    }
    if (since !== null) times.push([since, this.history.at.at(-1) ?? since]);
    return times;
  }

  render() {
    if (this.repaint) this.paint();
    const width = Math.floor(this.el.clientWidth - 18);
    if (width < 80) return;
    const [min, max] = this.reach();
    const { history } = this;
    this.from = Math.max(0, history.index(min) - 1);
    const to = Math.min(history.at.length, history.index(max) + 1);
    const known = this.panels.filter((panel) => panel.fields.some((field) => history.known(field)));
    for (const panel of this.panels) panel.el.hidden = history.at.length > 1 && !known.includes(panel);
    for (const panel of known) panel.update(this.from, to, min, max, width);
    const missing = history.at.length > 2 ? this.panels.filter((panel) => !known.includes(panel)) : [];
    this.missing.textContent = missing.length ? `Not told by this machine: ${missing.map((panel) => this.titles[panel.plot].toLowerCase()).join(", ")}` : "";
    this.missing.hidden = !missing.length;
    this.repaint = false;
    this.spans.forEach((button, place) => button.setAttribute("aria-pressed", !this.window && SPANS[place][1] === this.span));
    this.controls.update();
    this.tell();
    Object.assign(this.el.dataset, { drawn: history.arrived, at: history.at.at(-1) }); // for who measures
  }

  tell() {
    const { status } = this.history;
    const text = this.stale && status !== "gone" ? "the kernel has stopped" :
      { running: "", frozen: "❄ frozen", gone: "■ gone" }[status] ?? "";
    if (this.state.textContent !== text) this.state.textContent = text;
    const events = this.history.events;
    const stamp = `${events.length} ${events.at(-1)?.at}`;
    if (stamp === this.stamp) return;
    this.stamp = stamp;
    const clock = this.panels[0];
    this.log.replaceChildren(...events.slice(-6).reverse().map((event) =>
      make("li", { class: event.kind === "oom" ? "nsm-bad" : "" }, make("span", { class: "nsm-dim" }, clock.clock(event.at)), ` ${event.text}`)));
  }
}
