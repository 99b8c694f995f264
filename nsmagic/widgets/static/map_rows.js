// What the map shows: which groups of processes in which order, and which of them share a block.

const KIN = ["user", "net", "pid", "mnt", "uts", "ipc", "cgroup", "time"]; // as in map_still.py

// What changed, as map_facts.py tells it, into what is known.
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

// Which groups are shown, those that share most beside each other.
function rowsOf(facts, filter) {
  const words = filter.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const all = Object.entries(facts.groups).map(([key, group]) => ({ key, ...group }));
  const own = all.find((each) => each.kind === "self");
  const place = { self: 0, box: 1, "": 2, held: 3 };
  for (const each of all) {
    each.count = Object.keys(each.procs).length;
    // Who shares the namespaces that matter most stands together; the notebook's own come first.
    each.order = KIN.map((type) => (each.links[type] === own?.links[type] ? 0 : (each.links[type] ?? 0)));
    each.isNew = each.was === null;
  }
  const found = all.filter((each) => words.every((word) => matches(facts, each, word)));
  found.sort((a, b) =>
    place[a.kind] - place[b.kind] || compare(a.order, b.order) || (a.key < b.key ? -1 : 1));
  return found;
}

function matches(facts, group, word) {
  const numeric = /^\d+$/.test(word);
  if (numeric) {
    return word in group.procs || Object.values(group.links).some((ino) => String(ino).endsWith(word)) ||
      Object.values(group.procs).some((text) => text.split(/\D+/).includes(word)); // sleep 1000
  }
  return [group.name, group.box, group.kind === "self" ? "self" : "", ...Object.values(group.procs)]
    .some((text) => text.toLowerCase().includes(word)) ||
    Object.keys(group.links).some((type) => type === word && group.kind !== "self" &&
      !facts.spaces[`${type}:${group.links[type]}`]?.own);
}

// Neighbours in one column that are the same namespace become one block.
function blocksOf(facts, rows, type) {
  const blocks = [];
  rows.forEach((row, index) => {
    const ino = row.links[type];
    const last = blocks.at(-1);
    if (ino === undefined) return;
    if (last && last.ino === ino && last.to === index - 1) last.to = index;
    else blocks.push({ type, ino, from: index, to: index, space: facts.spaces[`${type}:${ino}`] });
  });
  return blocks.filter((block) => block.space);
}

// Namespaces that are gone stand below all groups, each in the column of its type.
function ghostsOf(facts, types) {
  const list = [];
  const used = {};
  for (const space of Object.values(facts.spaces)) {
    const column = types.indexOf(space.type);
    if (space.state !== "gone" || column < 0) continue;
    list.push({ space, column, row: used[space.type] ?? 0 });
    used[space.type] = (used[space.type] ?? 0) + 1;
  }
  return { list, height: Math.max(0, ...Object.values(used)) };
}
