// One drawing of the map: rows are groups, columns are types, chips are namespaces, arrows kinship.

const ROW = 42;
const CHIP = 28;
const HEAD = 30;

class MapPicture {
  // `view` says what is chosen, and is told what was clicked.
  constructor(view, width, rows, types, gone) {
    Object.assign(this, { view, width, rows, types, gone, facts: view.facts });
    this.palette = view.model.get("palette")[isDark(view.el) ? "dark" : "light"];
    this.marks = [...view.model.get("palette").marks];
    this.label = Math.round(Math.min(280, Math.max(92, width * 0.24)));
    this.step = (width - this.label) / Math.max(1, types.length);
    this.placed = new Map();
    this.el = this.drawn();
  }

  drawn() {
    const { width, rows, types, gone } = this;
    const height = HEAD + (rows.length + gone.height) * ROW + 8;
    const picture = draw("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": "Groups of processes and the namespaces they are in; arrow keys move, Enter tells more",
    }, this.defs());
    types.forEach((type, column) => picture.append(this.heading(type, column)));
    rows.forEach((row, index) => picture.append(this.band(row, index)));
    const chips = draw("g");
    types.forEach((type, column) => {
      for (const block of blocksOf(this.facts, rows, type)) chips.append(this.chip(block, column));
    });
    gone.list.forEach(({ space, row, column }) =>
      chips.append(this.chip({ type: space.type, ino: space.ino, from: rows.length + row,
        to: rows.length + row, space }, column)));
    if (gone.height) picture.append(this.text(8, HEAD + (rows.length + 0.5) * ROW + 4,
      fit("gone since the last look", "600 12px system-ui", this.label - 12), "nsm-map-gone"));
    picture.append(this.edges(), chips);
    return picture;
  }

  defs() {
    const hatch = draw("pattern", { id: "nsm-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse",
      patternTransform: "rotate(45)" }, draw("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "nsm-map-hatch" }));
    const arrow = draw("marker", { id: "nsm-arrow", viewBox: "0 0 8 8", refX: 7, refY: 4,
      markerWidth: 5, markerHeight: 5, orient: "auto-start-reverse" },
      draw("path", { d: "M0 0L8 4L0 8z", class: "nsm-map-arrow" }));
    return draw("defs", {}, hatch, arrow);
  }

  x(column) { return this.label + column * this.step; }

  text(x, y, content, style, anchor = "start") {
    return draw("text", { x, y, class: style, "text-anchor": anchor }, content);
  }

  heading(type, column) {
    const { step } = this;
    const small = step < 60 ? " nsm-small" : "";
    const name = fit(type, `600 ${small ? 11 : 13}px system-ui`, step);
    return draw("g", {
      class: "nsm-map-head", role: "button", tabindex: -1, "data-key": `head:${type}`,
      "data-place": `-1,${column}`, "aria-label": `${type} namespaces: ${this.facts.about[type]}. Hide this column`,
      onclick: () => this.view.hide(type),
    }, draw("title", {}, `${type}: ${this.facts.about[type]}\nClick to hide this column`),
      draw("rect", { x: this.x(column) + 2, y: 2, width: step - 4, height: HEAD - 6, rx: 4 }),
      this.text(this.x(column) + step / 2, HEAD - 11, name, `nsm-map-type${small}`, "middle"));
  }

  band(row, index) {
    const { label, width } = this;
    const y = HEAD + index * ROW;
    const change = row.was === null || row.was === row.count ? "" : ` (${row.count > row.was ? "+" : "−"}${Math.abs(row.count - row.was)})`;
    const programs = [...new Set(Object.values(row.procs).map((text) => text.split(" ")[0].split("/").at(-1)).filter(Boolean))];
    const counted = plural(row.count, label < 130 ? "proc" : "process", label < 130 ? "procs" : "processes") + change;
    const below = row.kind === "held" ? "no process" : label < 170 || !programs.length ? counted : `${counted} · ${programs.join(", ")}`;
    const room = label - 16;
    return draw("g", {
      class: `nsm-map-label nsm-map-${row.kind || "other"}${row.isNew ? " nsm-new" : ""}`,
      role: "button", tabindex: -1, "data-key": `group:${row.key}`, "data-place": `${index},-1`,
      "aria-label": `${row.name}: ${counted}${row.isNew ? ", new" : ""}`,
      "aria-pressed": this.view.chosen === `group:${row.key}`,
      onclick: () => this.view.choose(`group:${row.key}`),
    }, draw("title", {}, Object.values(row.procs).slice(0, 8).join("\n") || row.name),
      draw("rect", { x: 1, y: y + 1, width: width - 2, height: ROW - 2, rx: 4, class: "nsm-map-band" }),
      row.kind === "self" || row.kind === "box" ? draw("rect", { x: 1, y: y + 6, width: 4, height: ROW - 12, rx: 2, class: "nsm-map-bar" }) : null,
      this.text(10, y + 18, fit(row.isNew ? `${row.name} · new` : row.name, "600 13px system-ui", room), "nsm-map-name"),
      this.text(10, y + 33, fit(below, "11.5px system-ui", room), "nsm-map-below"));
  }

  chip(block, column) {
    const { step } = this;
    const { space } = block;
    const pad = step < 60 ? 2 : 5;
    const x = this.x(column) + pad;
    const y = HEAD + block.from * ROW + (ROW - CHIP) / 2;
    const width = step - 2 * pad;
    const height = (block.to - block.from) * ROW + CHIP;
    const key = `${block.type}:${block.ino}${space.state === "gone" ? ":gone" : ""}`;
    const tall = block.to - block.from > 5; // its middle may be out of sight
    const at = { x, y, width, height, middle: y + (tall ? CHIP : height) / 2, colour: turn(this.palette, space.colour) };
    const shift = Math.floor((space.colour - 1) / (this.marks.length - 1));
    const mark = turn(this.marks, space.colour && (space.colour + shift - 1) % (this.marks.length - 1) + 1);
    const number = String(block.ino);
    const font = step < 60 ? "10.5px system-ui" : "12px system-ui";
    const fits = (text) => fit(text, font, width - 4) === text; // all digits are of one width
    const text = fits(`● ${number.replace(/./g, "0")}`) ? `${mark} ${number}`
      : fits("● …00000") ? `${mark} …${number.slice(-5)}`
      : fits("● 0000") ? `${mark} ${number.slice(-4)}` : number.slice(-4);
    const isNew = space.state === "new";
    const first = !this.placed.has(key);
    if (first) this.placed.set(key, at);
    const state = { new: ", new since the last look", gone: ", gone" }[space.state] ?? "";
    const whose = space.own ? ", this notebook's own" : "";
    return draw("g", {
      class: `nsm-map-chip${space.own ? " nsm-own" : ""}${isNew ? " nsm-new" : ""}${space.state === "gone" ? " nsm-gone" : ""}${this.view.chosen === key ? " nsm-chosen" : ""}`,
      style: `--ns: ${at.colour}`, role: "button", tabindex: -1, "data-key": key, "data-place": `${block.from},${column}`,
      "aria-pressed": this.view.chosen === key,
      "aria-label": `${block.type} namespace ${block.ino}, ${plural(space.processes, "process", "processes")}${whose}${state}`,
      onclick: () => this.view.choose(key),
      onpointerenter: () => this.hover(key, true), onpointerleave: () => this.hover(key, false),
    }, draw("title", {}, `${block.type}:[${block.ino}]${whose}${state}\n${plural(space.processes, "process", "processes")}`),
      isNew ? draw("rect", { x: x - 3, y: y - 3, width: width + 6, height: height + 6, rx: 8, class: "nsm-map-halo" }) : null,
      draw("rect", { x, y, width, height, rx: 5, class: "nsm-map-box" }),
      space.state === "gone" ? draw("rect", { x, y, width, height, rx: 5, fill: "url(#nsm-hatch)" }) : null,
      this.text(x + width / 2, at.middle + 4, text, step < 60 ? "nsm-map-ino nsm-small" : "nsm-map-ino", "middle"));
  }

  hover(key, on) {
    for (const node of this.el.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)) node.classList.toggle("nsm-hover", on);
    this.el.querySelector(".nsm-map-hovered")?.remove();
    if (on) this.el.insertBefore(
      draw("g", { class: "nsm-map-hovered" }, ...this.edgesOf(key)), this.el.querySelector(".nsm-map-chip")?.parentNode ?? null);
  }

  edges() {
    const group = draw("g");
    for (const [key, space] of Object.entries(this.facts.spaces)) {
      if (!this.placed.has(key) || space.state === "gone") continue;
      if (this.view.owners || this.view.chosen === key) group.append(...this.edgesOf(key));
      else group.append(...this.edge(key, `${space.type}:${space.parent}`, space.parent, "parent"));
    }
    return group;
  }

  edgesOf(key) {
    const space = this.facts.spaces[key];
    if (!space) return [];
    return [
      ...this.edge(key, `${space.type}:${space.parent}`, space.parent, "parent"),
      ...(space.type === "user" ? [] : this.edge(key, `user:${space.owner}`, space.owner, "owner")),
    ];
  }

  edge(from, to, ino, kind) {
    const [start, end] = [this.placed.get(from), this.placed.get(to)];
    if (ino === null || !start || !end || from === to) return [];
    let path;
    if (kind === "parent") { // along the left side of its column
      const bend = start.x - Math.min(26, 8 + this.step / 9);
      path = `M${start.x} ${start.middle}C${bend} ${start.middle} ${bend} ${end.middle} ${end.x - 1} ${end.middle}`;
    } else {
      const right = start.x < end.x;
      const [a, b] = [right ? start.x + start.width : start.x, right ? end.x : end.x + end.width];
      const half = (a + b) / 2;
      path = `M${a} ${start.middle}C${half} ${start.middle} ${half} ${end.middle} ${b} ${end.middle}`;
    }
    return [draw("path", { d: path, class: `nsm-map-edge nsm-${kind}`, style: `--ns: ${end.colour}`, "marker-end": "url(#nsm-arrow)" },
      draw("title", {}, kind === "parent" ? `child of ${to}` : `owned by ${to}`))];
  }
}
