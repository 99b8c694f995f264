// The namespace map: groups of processes below each other, types of namespaces beside each other.
// Groups in the same namespace share one block.

const ROW = 42;
const CHIP = 28;
const HEAD = 30;
const MOST_ROWS = 80; // more groups than fit on screens are left to the filter
const KIN = ["user", "net", "pid", "mnt", "uts", "ipc", "cgroup", "time"]; // as in map_still.py
const MOST_PROCESSES = 12; // in the details

function merge(facts, change) {
  if ("hidden" in change) facts.hidden = change.hidden;
  for (const part of ["groups", "spaces"]) {
    for (const [key, value] of Object.entries(change[part] ?? {})) {
      if (value === null) delete facts[part][key];
      else if (value.went === undefined) facts[part][key] = value;
      else {
        const { came, went, ...rest } = value;
        const procs = { ...facts[part][key]?.procs, ...came };
        for (const pid of went) delete procs[pid];
        facts[part][key] = { ...rest, procs };
      }
    }
  }
}

function compare(a, b) {
  const place = a.findIndex((value, index) => value !== b[index]);
  return place < 0 ? 0 : a[place] - b[place];
}

class MapView {
  constructor(model, el, facts) {
    this.model = model;
    this.el = el;
    this.facts = facts;
    this.hidden = new Set();
    this.owners = false;
    this.chosen = null;
    this.focus = null;
    this.draw = perFrame(() => this.render());
    this.build();
    this.stops = [onTheme(this.draw), present(model), instead(model)];
    this.size = new ResizeObserver(this.draw);
    this.size.observe(this.picture);
    this.draw();
  }

  build() {
    this.filter = make("input", {
      class: "nsm-input nsm-map-filter", type: "search", "aria-label": "Filter",
      placeholder: "box, command, PID or inode", oninput: () => this.draw(),
    });
    this.toggle = make("button", {
      class: "nsm-button", type: "button", "aria-pressed": "false",
      title: "Draw for every namespace which user namespace owns it",
      onclick: () => {
        this.owners = !this.owners;
        this.toggle.setAttribute("aria-pressed", this.owners);
        this.draw();
      },
    }, "Owners");
    this.seen = make("button", {
      class: "nsm-button", type: "button", hidden: true,
      title: "From here on, new and gone mean since now",
      onclick: () => send(this.model, { ask: "seen" }),
    }, "Mark as seen");
    this.types = make("span", { class: "nsm-map-types" });
    this.count = make("span", { class: "nsm-dim nsm-grow", role: "status" });
    this.picture = make("div", { class: "nsm-map-picture" });
    this.detail = make("div", { class: "nsm-map-detail", "aria-live": "polite", hidden: true });
    this.el.classList.add("nsm", "nsm-map");
    ownKeys(this.el);
    this.el.append(
      make("div", { class: "nsm-bar" },
        make("p", { class: "nsm-title" }, "Namespaces"), this.count,
        this.types, this.filter, this.toggle, this.seen),
      this.picture, this.detail,
    );
    this.picture.addEventListener("keydown", (event) => this.key(event));
  }

  follow() {
    this.stale = false;
    this.draw();
  }

  // The kernel has ended: what is drawn stays, as it was.
  end() {
    this.stale = true;
    this.draw();
  }

  stop() {
    this.stops.forEach((stop) => stop());
    this.size.disconnect();
    this.draw.cancel();
  }

  // Which groups are shown, those that share most beside each other.
  rows() {
    const words = this.filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const all = Object.entries(this.facts.groups).map(([key, group]) => ({ key, ...group }));
    const own = all.find((each) => each.kind === "self");
    const place = { self: 0, box: 1, "": 2, held: 3 };
    for (const each of all) {
      each.count = Object.keys(each.procs).length;
      // Who shares the namespaces that matter most stands together; the notebook's own come first.
      each.order = KIN.map((type) => (each.links[type] === own?.links[type] ? 0 : (each.links[type] ?? 0)));
      each.isNew = each.was === null;
    }
    const found = all.filter((each) => words.every((word) => this.matches(each, word)));
    found.sort((a, b) =>
      place[a.kind] - place[b.kind] || compare(a.order, b.order) || (a.key < b.key ? -1 : 1));
    return found;
  }

  matches(group, word) {
    const numeric = /^\d+$/.test(word);
    if (numeric) {
      return word in group.procs || Object.values(group.links).some((ino) => String(ino).endsWith(word)) ||
        Object.values(group.procs).some((text) => text.split(/\D+/).includes(word)); // sleep 1000
    }
    return [group.name, group.box, group.kind === "self" ? "self" : "", ...Object.values(group.procs)]
      .some((text) => text.toLowerCase().includes(word)) ||
      Object.keys(group.links).some((type) => type === word && group.kind !== "self" &&
        !this.facts.spaces[`${type}:${group.links[type]}`]?.own);
  }

  // Neighbours in one column that are the same namespace become one block.
  blocks(rows, type) {
    const blocks = [];
    rows.forEach((row, index) => {
      const ino = row.links[type];
      const last = blocks.at(-1);
      if (ino === undefined) return;
      if (last && last.ino === ino && last.to === index - 1) last.to = index;
      else blocks.push({ type, ino, from: index, to: index, space: this.facts.spaces[`${type}:${ino}`] });
    });
    return blocks.filter((block) => block.space);
  }

  render() {
    const width = Math.floor(this.picture.clientWidth);
    if (width < 50) return; // not laid out yet, or in a hidden tab
    const kept = document.activeElement?.getAttribute?.("data-key");
    const hadFocus = this.picture.contains(document.activeElement);
    this.palette = this.model.get("palette")[isDark(this.el) ? "dark" : "light"];
    this.marks = [...this.model.get("palette").marks];
    const found = this.rows();
    const rows = found.slice(0, MOST_ROWS);
    const types = this.facts.types.filter((type) => !this.hidden.has(type));
    const gone = this.ghosts(types);
    const label = Math.round(Math.min(280, Math.max(92, width * 0.24)));
    const step = (width - label) / Math.max(1, types.length);
    const bottom = rows.length + gone.height;
    const height = HEAD + bottom * ROW + 8;
    this.grid = { width, label, step, types, rows };
    const picture = draw("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": "Groups of processes and the namespaces they are in; arrow keys move, Enter tells more",
    }, this.defs());
    this.placed = new Map();
    types.forEach((type, column) => picture.append(this.heading(type, column)));
    rows.forEach((row, index) => picture.append(this.label(row, index)));
    const chips = draw("g");
    types.forEach((type, column) => {
      for (const block of this.blocks(rows, type)) chips.append(this.chip(block, column));
    });
    gone.list.forEach(({ space, row, column }) =>
      chips.append(this.chip({ type: space.type, ino: space.ino, from: rows.length + row,
        to: rows.length + row, space }, column)));
    if (gone.height) picture.append(this.text(8, HEAD + (rows.length + 0.5) * ROW + 4,
      fit("gone since the last look", "600 12px system-ui", label - 12), "nsm-map-gone"));
    picture.append(this.edges(), chips);
    this.picture.replaceChildren(picture);
    if (found.length > rows.length) this.picture.append(make("p", { class: "nsm-dim" },
      `and ${plural(found.length - rows.length, "more group")}: filter to see them`));
    if (!found.length) this.picture.append(make("p", { class: "nsm-dim" }, "Nothing matches the filter."));
    this.status(found, gone);
    this.rove(kept, hadFocus);
    this.tell();
  }

  defs() {
    const hatch = draw("pattern", { id: "nsm-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse",
      patternTransform: "rotate(45)" }, draw("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "nsm-map-hatch" }));
    const arrow = draw("marker", { id: "nsm-arrow", viewBox: "0 0 8 8", refX: 7, refY: 4,
      markerWidth: 5, markerHeight: 5, orient: "auto-start-reverse" },
      draw("path", { d: "M0 0L8 4L0 8z", class: "nsm-map-arrow" }));
    return draw("defs", {}, hatch, arrow);
  }

  ghosts(types) {
    const list = [];
    const used = {};
    for (const space of Object.values(this.facts.spaces)) {
      const column = types.indexOf(space.type);
      if (space.state !== "gone" || column < 0) continue;
      list.push({ space, column, row: used[space.type] ?? 0 });
      used[space.type] = (used[space.type] ?? 0) + 1;
    }
    return { list, height: Math.max(0, ...Object.values(used)) };
  }

  x(column) { return this.grid.label + column * this.grid.step; }

  text(x, y, content, style, anchor = "start") {
    return draw("text", { x, y, class: style, "text-anchor": anchor }, content);
  }

  heading(type, column) {
    const { step } = this.grid;
    const small = step < 60 ? " nsm-small" : "";
    const name = fit(type, `600 ${small ? 11 : 13}px system-ui`, step);
    return draw("g", {
      class: "nsm-map-head", role: "button", tabindex: -1, "data-key": `head:${type}`,
      "data-place": `-1,${column}`, "aria-label": `${type} namespaces: ${this.facts.about[type]}. Hide this column`,
      onclick: () => { this.hidden.add(type); this.draw(); },
    }, draw("title", {}, `${type}: ${this.facts.about[type]}\nClick to hide this column`),
      draw("rect", { x: this.x(column) + 2, y: 2, width: step - 4, height: HEAD - 6, rx: 4 }),
      this.text(this.x(column) + step / 2, HEAD - 11, name, `nsm-map-type${small}`, "middle"));
  }

  label(row, index) {
    const { label, width } = this.grid;
    const y = HEAD + index * ROW;
    const change = row.was === null || row.was === row.count ? "" : ` (${row.count > row.was ? "+" : "−"}${Math.abs(row.count - row.was)})`;
    const programs = [...new Set(Object.values(row.procs).map((text) => text.split(" ")[0].split("/").at(-1)))];
    const counted = plural(row.count, label < 130 ? "proc" : "process", label < 130 ? "procs" : "processes") + change;
    const below = row.kind === "held" ? "no process" : label < 170 ? counted : `${counted} · ${programs.join(", ")}`;
    const room = label - 16;
    return draw("g", {
      class: `nsm-map-label nsm-map-${row.kind || "other"}${row.isNew ? " nsm-new" : ""}`,
      role: "button", tabindex: -1, "data-key": `group:${row.key}`, "data-place": `${index},-1`,
      "aria-label": `${row.name}: ${counted}${row.isNew ? ", new" : ""}`,
      "aria-pressed": this.chosen === `group:${row.key}`,
      onclick: () => this.choose(`group:${row.key}`),
    }, draw("title", {}, Object.values(row.procs).slice(0, 8).join("\n") || row.name),
      draw("rect", { x: 1, y: y + 1, width: width - 2, height: ROW - 2, rx: 4, class: "nsm-map-band" }),
      row.kind === "self" || row.kind === "box" ? draw("rect", { x: 1, y: y + 6, width: 4, height: ROW - 12, rx: 2, class: "nsm-map-bar" }) : null,
      this.text(10, y + 18, fit(row.isNew ? `${row.name} · new` : row.name, "600 13px system-ui", room), "nsm-map-name"),
      this.text(10, y + 33, fit(below, "11.5px system-ui", room), "nsm-map-below"));
  }

  chip(block, column) {
    const { step } = this.grid;
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
      class: `nsm-map-chip${space.own ? " nsm-own" : ""}${isNew ? " nsm-new" : ""}${space.state === "gone" ? " nsm-gone" : ""}${this.chosen === key ? " nsm-chosen" : ""}`,
      style: `--ns: ${at.colour}`, role: "button", tabindex: -1, "data-key": key, "data-place": `${block.from},${column}`,
      "aria-pressed": this.chosen === key,
      "aria-label": `${block.type} namespace ${block.ino}, ${plural(space.processes, "process", "processes")}${whose}${state}`,
      onclick: () => this.choose(key),
      onpointerenter: () => this.mark(key, true), onpointerleave: () => this.mark(key, false),
    }, draw("title", {}, `${block.type}:[${block.ino}]${whose}${state}\n${plural(space.processes, "process", "processes")}`),
      isNew ? draw("rect", { x: x - 3, y: y - 3, width: width + 6, height: height + 6, rx: 8, class: "nsm-map-halo" }) : null,
      draw("rect", { x, y, width, height, rx: 5, class: "nsm-map-box" }),
      space.state === "gone" ? draw("rect", { x, y, width, height, rx: 5, fill: "url(#nsm-hatch)" }) : null,
      this.text(x + width / 2, at.middle + 4, text, step < 60 ? "nsm-map-ino nsm-small" : "nsm-map-ino", "middle"));
  }

  mark(key, on) {
    for (const node of this.picture.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)) node.classList.toggle("nsm-hover", on);
    const old = this.picture.querySelector(".nsm-map-hovered");
    old?.remove();
    if (on) this.picture.querySelector("svg")?.insertBefore(
      draw("g", { class: "nsm-map-hovered" }, ...this.edgesOf(key)), this.picture.querySelector(".nsm-map-chip")?.parentNode ?? null);
  }

  edges() {
    const group = draw("g");
    for (const [key, space] of Object.entries(this.facts.spaces)) {
      if (!this.placed.has(key) || space.state === "gone") continue;
      if (this.owners || this.chosen === key) group.append(...this.edgesOf(key));
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
      const bend = start.x - Math.min(26, 8 + this.grid.step / 9);
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

  status(found, gone) {
    const spaces = Object.values(this.facts.spaces);
    const living = spaces.filter((each) => each.state !== "gone").length;
    const fresh = spaces.filter((each) => each.state === "new").length;
    const processes = Object.values(this.facts.groups).reduce((sum, each) => sum + Object.keys(each.procs).length, 0);
    const parts = [plural(living, "namespace"), plural(processes, "process", "processes")];
    if (fresh) parts.push(`${fresh} new`);
    if (gone.list.length) parts.push(`${gone.list.length} gone`);
    if (this.facts.hidden) parts.push(`${plural(this.facts.hidden, "process", "processes")} hidden from this user`);
    if (this.stale) parts.push("not following: the kernel has stopped");
    const text = parts.join(" · ");
    if (this.count.textContent !== text) this.count.textContent = text;
    this.seen.hidden = !(fresh || gone.list.length || Object.values(this.facts.groups).some((each) => each.was === null));
    const pills = [...this.hidden].map((type) => make("button", {
      class: "nsm-button", type: "button", title: `Show the ${type} namespaces again`,
      onclick: () => { this.hidden.delete(type); this.draw(); },
    }, `+ ${type}`));
    this.types.replaceChildren(...pills);
  }

  choose(key) {
    this.chosen = this.chosen === key ? null : key;
    this.focus = key;
    this.draw();
  }

  tell() {
    const [kind, rest] = [this.chosen?.split(":")[0], this.chosen?.slice(this.chosen.indexOf(":") + 1)];
    const group = kind === "group" ? this.facts.groups[rest] : null;
    const space = kind !== "group" ? this.facts.spaces[this.chosen] : null;
    this.detail.hidden = !(group || space);
    if (!group && !space) return;
    const fresh = JSON.stringify([this.chosen, group ?? space, space ? this.members(space) : 0]);
    if (fresh === this.told) return; // a screen reader would say it again
    this.told = fresh;
    this.detail.replaceChildren(...(group ? this.aboutGroup(group) : this.aboutSpace(space)));
  }

  members(space) {
    return Object.values(this.facts.groups).filter((group) => group.links[space.type] === space.ino)
      .flatMap((group) => Object.entries(group.procs)).sort((a, b) => a[0] - b[0]);
  }

  aboutSpace(space) {
    const lines = [];
    if (space.own) lines.push(["", "this notebook is in it"]);
    if (space.parent !== null) lines.push(["parent", `${space.type}:[${space.parent}]`]);
    if (space.owner !== null && space.type !== "user") lines.push(["owned by", `user:[${space.owner}]`]);
    if (space.uid !== null) lines.push(["owner uid", String(space.uid)]);
    if (space.held.length) lines.push(["kept by", space.held.join("; ")]);
    if (space.state === "gone") lines.push(["", "gone since the last look"]);
    return this.about(`${space.type}:[${space.ino}]`, this.facts.about[space.type], lines,
      space.state === "gone" ? [] : this.members(space), space.state === "gone" ? "" : space.enter);
  }

  aboutGroup(group) {
    const pids = Object.entries(group.procs).sort((a, b) => a[0] - b[0]);
    const lines = this.facts.types.filter((type) => type in group.links).map((type) => {
      const own = this.facts.spaces[`${type}:${group.links[type]}`]?.own;
      return [type, `${group.links[type]}${own && group.kind !== "self" ? " (as this notebook)" : ""}`];
    });
    const who = group.box || pids[0]?.[0];
    return this.about(group.name, "", lines, pids, who && group.kind !== "self" ? `%%nsenter -t ${who} --all` : "");
  }

  about(title, subtitle, lines, processes, enter) {
    const shown = processes.slice(0, MOST_PROCESSES);
    const more = processes.length - shown.length;
    return [
      make("div", { class: "nsm-bar" }, make("strong", { class: "nsm-code" }, title),
        make("span", { class: "nsm-dim nsm-grow" }, subtitle),
        make("button", { class: "nsm-button", type: "button", "aria-label": "Close the details",
          onclick: () => this.choose(this.chosen) }, "×")),
      make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", { class: "nsm-code" }, value)])),
      enter ? make("div", { class: "nsm-bar" }, make("span", { class: "nsm-dim" }, "enter it:"),
        make("code", {}, enter), copyButton(enter)) : null,
      shown.length ? make("table", { class: "nsm-map-procs" }, ...shown.map(([pid, text]) =>
        make("tr", {}, make("td", {}, pid), make("td", { class: "nsm-code" }, text)))) : null,
      more > 0 ? make("p", { class: "nsm-dim" }, `and ${more.toLocaleString("en")} more`) : null,
    ].filter(Boolean);
  }

  // One stop for the Tab key; arrow keys go from there.
  rove(key, hadFocus) {
    const nodes = [...this.picture.querySelectorAll("[data-key]")];
    const wanted = nodes.find((node) => node.getAttribute("data-key") === (key ?? this.focus)) ??
      nodes.find((node) => node.getAttribute("data-place") === "0,-1") ?? nodes[0];
    wanted?.setAttribute("tabindex", 0);
    if (hadFocus) wanted?.focus({ preventScroll: true });
  }

  key(event) {
    const at = event.target.getAttribute?.("data-place");
    if (!at) return;
    const [row, column] = at.split(",").map(Number);
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === "Enter" || event.key === " ") event.target.dispatchEvent(new MouseEvent("click"));
    else if (event.key === "Escape" && this.chosen) this.choose(this.chosen);
    else if (steps[event.key]) this.move(event.target, row, column, steps[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  move(from, row, column, [down, right]) {
    const places = [...this.picture.querySelectorAll("[data-place]")].map((node) =>
      [node, ...node.getAttribute("data-place").split(",").map(Number)]);
    const ahead = places.filter(([, r, c]) => (down ? c === column && (r - row) * down > 0 : (c - column) * right > 0));
    ahead.sort((a, b) => (down ? Math.abs(a[1] - row) - Math.abs(b[1] - row)
      : Math.abs(a[2] - column) - Math.abs(b[2] - column) || Math.abs(a[1] - row) - Math.abs(b[1] - row)));
    const to = ahead[0]?.[0];
    if (!to) return;
    from.setAttribute("tabindex", -1);
    to.setAttribute("tabindex", 0);
    to.focus();
    this.focus = to.getAttribute("data-key");
  }
}

export default () => {
  const views = new Set();
  let facts = null;
  return {
    initialize({ model }) {
      facts = { ...structuredClone(model.get("facts")), types: model.get("types"), about: model.get("about") };
      model.on("msg:custom", (message) => {
        if (message.full) Object.assign(facts, message.full);
        else if (message.change) merge(facts, message.change);
        for (const view of views) view.follow();
      });
      model.on("comm_live_update comm:close destroy", () => {
        for (const view of views) view.end();
      });
    },
    render({ model, el }) {
      const view = new MapView(model, el, facts);
      views.add(view);
      return () => {
        views.delete(view);
        view.stop();
      };
    },
  };
};
