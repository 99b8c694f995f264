// What is told of the group or the namespace that was chosen, below the map.

const MOST_PROCESSES = 12;

function membersOf(facts, space) {
  return Object.values(facts.groups).filter((group) => group.links[space.type] === space.ino)
    .flatMap((group) => Object.entries(group.procs)).sort((a, b) => a[0] - b[0]);
}

class MapDetails {
  constructor(close) {
    this.close = close;
    this.el = make("div", { class: "nsm-map-detail", "aria-live": "polite", hidden: true });
  }

  show(facts, chosen) {
    const [kind, rest] = [chosen?.split(":")[0], chosen?.slice(chosen.indexOf(":") + 1)];
    const group = kind === "group" ? facts.groups[rest] : null;
    const space = kind !== "group" ? facts.spaces[chosen] : null;
    this.el.hidden = !(group || space);
    if (!group && !space) return;
    const fresh = JSON.stringify([chosen, group ?? space, space ? membersOf(facts, space) : 0]);
    if (fresh === this.told) return; // a screen reader would say it again
    this.told = fresh;
    this.el.replaceChildren(...(group ? this.aboutGroup(facts, group) : this.aboutSpace(facts, space)));
  }

  aboutSpace(facts, space) {
    const lines = [];
    if (space.own) lines.push(["", "this notebook is in it"]);
    if (space.parent !== null) lines.push(["parent", `${space.type}:[${space.parent}]`]);
    if (space.owner !== null && space.type !== "user") lines.push(["owned by", `user:[${space.owner}]`]);
    if (space.uid !== null) lines.push(["owner uid", String(space.uid)]);
    if (space.held.length) lines.push(["kept by", space.held.join("; ")]);
    if (space.state === "gone") lines.push(["", "gone since the last look"]);
    return this.about(`${space.type}:[${space.ino}]`, facts.about[space.type], lines,
      space.state === "gone" ? [] : membersOf(facts, space), space.state === "gone" ? "" : space.enter);
  }

  aboutGroup(facts, group) {
    const pids = Object.entries(group.procs).sort((a, b) => a[0] - b[0]);
    const lines = facts.types.filter((type) => type in group.links).map((type) => {
      const own = facts.spaces[`${type}:${group.links[type]}`]?.own;
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
          onclick: this.close }, "×")),
      make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", { class: "nsm-code" }, value)])),
      enter ? make("div", { class: "nsm-bar" }, make("span", { class: "nsm-dim" }, "enter it:"),
        make("code", {}, enter), copyButton(enter)) : null,
      shown.length ? make("table", { class: "nsm-map-procs" }, ...shown.map(([pid, text]) =>
        make("tr", {}, make("td", {}, pid), make("td", { class: "nsm-code" }, text)))) : null,
      more > 0 ? make("p", { class: "nsm-dim" }, `and ${more.toLocaleString("en")} more`) : null,
    ].filter(Boolean);
  }
}
