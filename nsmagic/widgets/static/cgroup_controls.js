// Freeze, thaw, kill and the sliders of a cgroup's limits.  What is shown is what was read back.

const ANSWER = 900; // ms; after that a person is told that the click waits

class Controls {
  constructor(view) {
    this.view = view;
    this.asked = 0;
    this.waiting = new Map();
    this.note = make("span", { class: "nsm-graph-note", role: "alert" });
    const able = view.model.get("able");
    this.freeze = make("button", { class: "nsm-button", type: "button", hidden: !able.includes("freeze"),
      title: "No process of the group runs until it is thawed", onclick: () => this.ask({ ask: this.frozen() ? "thaw" : "freeze" }) }, "Freeze");
    this.kill = make("button", { class: "nsm-button nsm-danger", type: "button", hidden: !able.includes("kill"),
      title: "Kill every process of the group", onclick: () => this.killing() }, "Kill");
    this.sliders = view.model.get("sliders").map((facts) => new Slider(this, facts));
    this.el = make("div", { class: "nsm-graph-controls" },
      make("div", { class: "nsm-bar" }, this.freeze, this.kill, this.note),
      make("div", { class: "nsm-graph-sliders" }, ...this.sliders.map((slider) => slider.el)));
    this.el.hidden = !able.length && !this.sliders.length;
  }

  frozen() { return this.view.history.status === "frozen"; }

  killing() { // the second click kills
    if (this.armed) {
      this.disarm();
      this.ask({ ask: "kill" });
    } else {
      this.kill.textContent = "Kill all?";
      this.armed = setTimeout(() => this.disarm(), 4000);
    }
  }

  disarm() {
    clearTimeout(this.armed);
    this.armed = null;
    this.kill.textContent = "Kill";
  }

  ask(content) {
    const id = (this.asked += 1);
    this.say("");
    this.waiting.set(id, setTimeout(() => this.say(this.view.model.get("answers")
      ? "the kernel has not answered yet" : "waits for the cell to end: this front end has no subshells"), ANSWER));
    send(this.view.model, { ...content, id });
  }

  answered(message) {
    clearTimeout(this.waiting.get(message.done));
    this.waiting.delete(message.done);
    this.say(message.why ?? "", Boolean(message.why));
  }

  say(text, bad = false) {
    this.note.textContent = text;
    this.note.classList.toggle("nsm-bad", bad);
  }

  update() {
    const gone = this.view.history.status === "gone" || this.view.stale;
    this.freeze.textContent = this.frozen() ? "Thaw" : "Freeze";
    this.freeze.setAttribute("aria-pressed", this.frozen());
    for (const node of [this.freeze, this.kill]) node.disabled = gone;
    for (const slider of this.sliders) slider.update(gone);
  }
}

// A limit from `least` to `most` on a logarithmic scale, and at the right end none at all.
class Slider {
  constructor(controls, facts) {
    this.controls = controls;
    this.facts = facts;
    this.input = make("input", { type: "range", min: 0, max: 101, step: 1, "aria-label": facts.label,
      oninput: () => this.moved(), onchange: () => this.moved(true) });
    this.output = make("output", { class: "nsm-graph-limit" });
    this.el = make("label", { class: "nsm-graph-slider", title: facts.meaning },
      make("span", {}, facts.label), this.input, this.output);
  }

  value() {
    const { least, most, unit } = this.facts;
    const place = Number(this.input.value);
    if (place > 100) return null;
    const value = least * (most / least) ** (place / 100);
    if (unit === "bytes") { // whole steps that people say: 64 MiB, not 63.7
      const step = 2 ** Math.max(12, Math.floor(Math.log2(value)) - 4);
      return Math.round(value / step) * step;
    }
    return unit === "count" ? Math.max(1, Math.round(value)) : Math.round(value * 100) / 100;
  }

  place(value) {
    const { least, most } = this.facts;
    if (value === null || value === undefined) return 101;
    return Math.max(0, Math.min(100, Math.round((100 * Math.log(value / least)) / Math.log(most / least))));
  }

  moved(final = false) {
    const value = this.value();
    this.output.textContent = value === null ? "max …" : `${show(value, this.facts.unit)} …`;
    this.held = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.controls.ask({ ask: "limit", key: this.facts.key, value });
    }, final ? 0 : 120);
    if (final) this.timer2 = setTimeout(() => { this.held = false; this.shown = null; this.controls.view.draw(); }, 400);
  }

  update(gone) {
    const now = this.controls.view.history.limits[this.facts.key];
    this.input.disabled = gone || now === undefined;
    const stamp = JSON.stringify(now ?? null);
    if (this.held || this.shown === stamp) return;
    this.shown = stamp;
    this.input.value = this.place(now?.value);
    this.input.setAttribute("aria-valuetext", now?.text ?? "not here");
    this.output.textContent = now ? (now.value === null ? "max" : show(now.value, this.facts.unit)) : "–";
  }
}

export default () => {
  const views = new Set();
  let history = null;
  return {
    initialize({ model }) {
      history = new History(model);
      model.on("msg:custom", (message, buffers) => {
        history.take(message, buffers);
        for (const view of views) {
          view.stale = false;
          if (message.done) view.controls.answered(message);
          if (!view.paused) view.draw();
        }
      });
      model.on("comm_live_update comm:close destroy", () => {
        for (const view of views) { view.stale = true; view.draw(); }
      });
    },
    render({ model, el }) {
      const view = new GraphView(model, el, history);
      views.add(view);
      return () => {
        views.delete(view);
        view.stop();
      };
    },
  };
};
