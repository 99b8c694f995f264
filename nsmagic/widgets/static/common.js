// What every view needs.  Comes first in each module; see assets.py.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const make = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

// A number's place in a cycle that leaves out the first, which is for the notebook's own.
const turn = (names, number) => (number === 0 ? names[0] : names[((number - 1) % (names.length - 1)) + 1]);

// Keys in a widget are the widget's: JupyterLab's command mode would take arrows, letters, Enter.
// Its selectors match the focused element itself, so the mark on a container alone is not enough.
function ownKeys(el) {
  el.addEventListener("focusin", (event) => event.target.setAttribute?.("data-lm-suppress-shortcuts", "true"));
  el.addEventListener("keydown", (event) => event.stopPropagation());
}

// Light text means a dark page, whatever the front end calls its theme.
function isDark(el) {
  const [red, green, blue] = (getComputedStyle(el).color.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
}

function onTheme(callback) {
  const seen = new MutationObserver(callback);
  const attributeFilter = ["data-jp-theme-light", "data-jp-theme-name", "class", "data-theme"];
  for (const node of [document.documentElement, document.body]) {
    seen.observe(node, { attributes: true, attributeFilter });
  }
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", callback);
  return () => {
    seen.disconnect();
    scheme.removeEventListener("change", callback);
  };
}

// A kernel that has ended or was restarted hears nothing; the view says so by itself.
function send(model, content) {
  try {
    model.send(content);
  } catch (error) {
    console.debug("nsmagic: the kernel does not listen", error);
  }
}

// Tells the kernel that somebody looks, so that it can stop when nobody does (live.py).
function present(model) {
  const say = () => {
    if (!document.hidden) send(model, { ask: "here" });
  };
  say();
  const timer = setInterval(say, 10_000);
  document.addEventListener("visibilitychange", say);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", say);
  };
}

// Where the widget is seen its still picture, an output of its own, is not (live.py).  JupyterLab
// does not restore widgets in an Output View of a reloaded page: there the still is all there is.
function instead(model) {
  const still = `.nsm-still-${model.get("still_id")}`;
  const rule = make("style", {}, `${still} { display: none; }
    .jp-OutputArea:not(:has(.nsm-graph, .nsm-map, .nsm-term)) ${still} { display: block; }`);
  document.head.append(rule);
  return () => rule.remove();
}

// At most one call for each picture the screen shows; what takes long rests four times as long.
function perFrame(callback) {
  let frame = 0;
  let timer = 0;
  let rested = 0;
  const now = () => {
    timer = 0;
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      const begun = performance.now();
      callback();
      const cost = performance.now() - begun;
      rested = cost > 12 ? begun + 5 * cost : 0;
    });
  };
  const ask = () => {
    if (frame || timer) return;
    const wait = rested - performance.now();
    if (wait > 0) timer = setTimeout(now, wait);
    else now();
  };
  ask.cancel = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  return ask;
}

const ruler = document.createElement("canvas").getContext("2d");
const fitted = new Map(); // measuring is what takes long

// Shortens text to a width in pixels.
function fit(text, font, width) {
  const key = `${text}\n${font}\n${width}`;
  const known = fitted.get(key);
  if (known !== undefined) return known;
  if (fitted.size > 5000) fitted.clear();
  const found = shorten(text, font, width);
  fitted.set(key, found);
  return found;
}

function shorten(text, font, width) {
  ruler.font = font;
  if (ruler.measureText(text).width <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ruler.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low)}…` : "";
}

const plural = (count, one, many) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : (many ?? `${one}s`)}`;

function copyButton(text) {
  const button = make("button", { class: "nsm-button", type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy it"; // pages over plain http have no clipboard
    }
  });
  return button;
}
