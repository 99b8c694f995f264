// A terminal by xterm.js.  Its modules are loaded once for a page, from text that the kernel sent.

function library(model) {
  globalThis.nsmagicTerminal ??= Promise.all(["xterm", "fit"].map((name) => {
    const url = URL.createObjectURL(new Blob([model.get(name)], { type: "text/javascript" }));
    return import(/* webpackIgnore: true */ url).finally(() => URL.revokeObjectURL(url));
  })).then(([{ Terminal }, { FitAddon }]) => ({ Terminal, FitAddon }));
  return globalThis.nsmagicTerminal;
}

const THEMES = {
  light: { background: "#ffffff", foreground: "#1f2328", cursor: "#1f2328", selectionBackground: "#0067a840",
    black: "#24292f", red: "#b3001b", green: "#00673f", yellow: "#7a5b00", blue: "#0067a8", magenta: "#8a2f86",
    cyan: "#0b6b75", white: "#6e7781", brightBlack: "#57606a", brightRed: "#cf222e", brightGreen: "#1a7f37",
    brightYellow: "#8a6500", brightBlue: "#0969da", brightMagenta: "#a13d9c", brightCyan: "#0f7b86", brightWhite: "#424a53" },
  dark: { background: "#111111", foreground: "#e6edf3", cursor: "#e6edf3", selectionBackground: "#58b4f055",
    black: "#484f58", red: "#ff7b72", green: "#3fb950", yellow: "#d8a838", blue: "#58a6ff", magenta: "#d38bdc",
    cyan: "#39c5cf", white: "#b1bac4", brightBlack: "#7d8590", brightRed: "#ffa198", brightGreen: "#56d364",
    brightYellow: "#e3c64a", brightBlue: "#79c0ff", brightMagenta: "#e2a5e8", brightCyan: "#56d4dd", brightWhite: "#ffffff" },
};

class TerminalView {
  constructor(model, el, { Terminal, FitAddon }, kept, status) {
    this.model = model;
    this.el = el;
    this.note = make("span", { class: "nsm-dim", role: "status" }, "Shift+Esc leaves the terminal");
    this.place = make("div", { class: "nsm-term-place" });
    ownKeys(this.place);
    el.classList.add("nsm", "nsm-term");
    el.append(make("div", { class: "nsm-bar" }, make("p", { class: "nsm-title" }, model.get("title")),
      make("span", { class: "nsm-grow" }), this.note), this.place);
    this.term = new Terminal({ fontSize: 13, fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
      cursorBlink: false, scrollback: 5000, theme: this.theme(), minimumContrastRatio: 4.5 });
    this.fitted = new FitAddon();
    this.term.loadAddon(this.fitted);
    this.term.open(this.place);
    this.term.attachCustomKeyEventHandler((event) => this.key(event));
    this.term.onData((keys) => send(model, { ask: "type", keys }));
    this.term.onResize(({ rows, cols }) => send(model, { ask: "size", rows, columns: cols }));
    if (kept.length) this.term.write(kept);
    if (status) this.end(status);
    this.stops = [onTheme(() => this.dress()), present(model), instead(model)];
    this.layout = perFrame(() => {
      if (this.place.clientWidth <= 40) return;
      this.dress(); // outside of the page there was no colour to tell a dark theme by
      this.fitted.fit();
    });
    this.size = new ResizeObserver(this.layout);
    this.size.observe(this.place);
  }

  theme() { return THEMES[isDark(this.el) ? "dark" : "light"]; }

  dress() {
    const theme = this.theme();
    if (this.term.options.theme !== theme) this.term.options.theme = theme;
  }

  key(event) {
    if (event.type === "keydown" && event.key === "Escape" && event.shiftKey) {
      this.term.blur();
      return false;
    }
    return true;
  }

  write(data) {
    this.term.write(data, () => this.drawn?.(data.length));
  }

  end(text) {
    this.term.options.disableStdin = true;
    this.note.textContent = text;
    this.place.classList.add("nsm-term-over");
  }

  stop() {
    this.stops.forEach((stop) => stop());
    this.size.disconnect();
    this.layout.cancel();
    this.term.dispose();
  }
}

export default () => {
  const views = new Set();
  const kept = [];
  let status = "";
  let drawn = 0;
  return {
    initialize({ model }) {
      const screen = model.get("screen");
      if (screen?.byteLength) kept.push(bytes(screen));
      status = model.get("status");
      model.on("msg:custom", (message, buffers) => {
        for (const buffer of message.out ? buffers : []) {
          const data = bytes(buffer);
          kept.push(data);
          let all = kept.reduce((sum, part) => sum + part.length, 0);
          while (all > 1 << 18) all -= kept.shift().length;
          if (!views.size) send(model, { ask: "drawn", count: data.length });
          for (const view of views) view.write(data);
        }
        if (message.ended) {
          status = message.ended;
          for (const view of views) view.end(status);
        }
      });
      model.on("comm_live_update comm:close destroy", () => {
        for (const view of views) view.end("the kernel has stopped");
      });
    },
    async render({ model, el }) {
      const loaded = await library(model);
      const all = new Uint8Array(kept.reduce((sum, part) => sum + part.length, 0));
      kept.reduce((at, part) => (all.set(part, at), at + part.length), 0);
      const view = new TerminalView(model, el, loaded, all, status);
      let waiting = false;
      view.drawn = (count) => { // the first view speaks for all
        if (views.values().next().value !== view) return;
        drawn += count;
        if (waiting) return;
        waiting = true;
        setTimeout(() => {
          waiting = false;
          send(model, { ask: "drawn", count: drawn });
          drawn = 0;
        }, 40);
      };
      views.add(view);
      return () => {
        views.delete(view);
        view.stop();
      };
    },
  };
};

function bytes(view) {
  return new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
}
