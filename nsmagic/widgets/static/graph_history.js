// What a graph knows, and numbers with their units.

const KEPT = 6000; // rows, as in graph_track.py

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
function size(value) {
  let power = 0;
  while (Math.abs(value) >= 1024 && power < BYTES.length - 1) { value /= 1024; power += 1; }
  return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toPrecision(3)} ${BYTES[power]}`;
}
function show(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "bytes") return size(value);
  if (unit === "B/s") return `${size(value)}/s`;
  if (unit === "share") return `${(value * 100).toFixed(value < 0.0995 ? 1 : 0)} %`;
  if (unit === "CPUs") return `${value.toFixed(2)} CPUs`;
  return value.toLocaleString("en", { maximumFractionDigits: 0 });
}
// As on an axis: no digits that say nothing.
const brief = (value, unit) => (unit === "CPUs" ? String(+value.toFixed(2)) : show(value, unit).replace(/\.0+ /, " "));
// Ticks of bytes at powers of two: 16 MiB and not 15.3 MiB.
const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power).flatMap((step) => [step, step * 1.5]).filter(Number.isInteger);

// All rows that are known, as one array for each field.  Shared by the views of one model.
class History {
  constructor(model) {
    this.fields = model.get("fields");
    this.at = [];
    this.columns = this.fields.map(() => []);
    this.events = [...model.get("events")];
    this.limits = model.get("limits");
    this.status = model.get("status");
    this.arrived = 0;
    const kept = model.get("history");
    if (kept?.byteLength) this.add(kept);
  }

  add(view) {
    const width = (this.fields.length + 1) * 8;
    const bytes = view.buffer ? view : new DataView(view);
    for (let row = 0; row + width <= bytes.byteLength; row += width) {
      this.at.push(bytes.getFloat64(row, true));
      this.columns.forEach((column, place) => {
        const value = bytes.getFloat64(row + 8 * (place + 1), true);
        column.push(Number.isNaN(value) ? null : value);
      });
    }
    const many = this.at.length - KEPT * 1.1;
    if (many > 0) for (const column of [this.at, ...this.columns]) column.splice(0, Math.ceil(many + KEPT * 0.1));
    this.arrived += 1;
  }

  take(message, buffers) {
    for (const buffer of buffers ?? []) this.add(buffer);
    if (message.events) this.events.push(...message.events);
    if (this.events.length > 500) this.events.splice(0, this.events.length - 400);
    if (message.limits) this.limits = message.limits;
    if (message.status) this.status = message.status;
  }

  index(at) { // the first row not before `at`
    let [low, high] = [0, this.at.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] < at) low = middle + 1; else high = middle;
    }
    return low;
  }

  known(field) { return this.columns[this.fields.indexOf(field)].some((value) => value !== null); }
  latest(field) { return this.columns[this.fields.indexOf(field)].at(-1) ?? null; }
}
