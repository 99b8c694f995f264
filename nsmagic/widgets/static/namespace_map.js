// The namespace map: groups of processes below each other, types of namespaces beside each other.
// Groups in the same namespace share one block.

const MOST_ROWS = 80; // more groups than fit on screens are left to the filter

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
    this.details = new MapDetails(() => this.choose(this.chosen));
    this.el.classList.add("nsm", "nsm-map");
    ownKeys(this.el);
    this.el.append(
      make("div", { class: "nsm-bar" },
        make("p", { class: "nsm-title" }, "Namespaces"), this.count,
        this.types, this.filter, this.toggle, this.seen),
      this.picture, this.details.el,
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

  render() {
    const width = Math.floor(this.picture.clientWidth);
    if (width < 50) return; // not laid out yet, or in a hidden tab
    const kept = document.activeElement?.getAttribute?.("data-key");
    const hadFocus = this.picture.contains(document.activeElement);
    const found = rowsOf(this.facts, this.filter.value);
    const types = this.facts.types.filter((type) => !this.hidden.has(type));
    const gone = ghostsOf(this.facts, types);
    const rows = found.slice(0, MOST_ROWS);
    this.picture.replaceChildren(new MapPicture(this, width, rows, types, gone).el);
    if (found.length > rows.length) this.picture.append(make("p", { class: "nsm-dim" },
      `and ${plural(found.length - rows.length, "more group")}: filter to see them`));
    if (!found.length) this.picture.append(make("p", { class: "nsm-dim" }, "Nothing matches the filter."));
    this.status(found, gone);
    this.rove(kept, hadFocus);
    this.details.show(this.facts, this.chosen);
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

  hide(type) {
    this.hidden.add(type);
    this.draw();
  }

  choose(key) {
    this.chosen = this.chosen === key ? null : key;
    this.focus = key;
    this.draw();
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
