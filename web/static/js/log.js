// The list of signals, newest on top; a hard ring, never a live region.
import { h, mark, say } from "./dom.js";
import { clock } from "./format.js";
import { held } from "./shell.js";

export class Log {
  constructor(list, gap, most) {
    this.list = list; this.gap = gap; this.most = most; this.missed = 0;
    this.waiting = [];
    addEventListener("held", () => { if (!held()) this.add(this.waiting.splice(0)); });
  }

  /** Wire the level buttons: the server filters, the page only shows. */
  filterWith(group, link) {
    this.link = link;
    group.addEventListener("click", ({ target }) => {
      if (!target.dataset?.level) return;
      for (const button of group.children) button.setAttribute("aria-pressed", String(button === target));
      this.refilter({ level: target.dataset.level });
    });
  }

  refilter(changes) {
    const events = this.link.subscriptions.events;
    events.filter = { ...events.filter, ...changes };
    this.link.subscribe("events");
  }

  take(kind, data) {
    if (kind === "gap") { this.missed += data; return this.shown(); }
    if (kind === "snap") { this.list.replaceChildren(); this.waiting = []; this.missed = 0; this.add(data); this.shown(); return; }
    if (held()) { this.waiting = this.waiting.concat(data).slice(-this.most); return; }
    this.add(data);
  }

  add(events) {
    if (events.length) this.list.querySelector(".empty")?.remove();
    for (const event of events.slice(-this.most)) this.list.prepend(row(event));
    while (this.list.childElementCount > this.most) this.list.lastChild.remove();
    if (!this.list.childElementCount) this.list.append(h("li", { class: "empty" }, "Nothing of this kind has happened yet."));
  }

  shown() {
    this.gap.hidden = this.missed === 0;
    say(this.gap, `${this.missed} more not shown`);
  }
}

function row(event) {
  const time = h("time", { datetime: event.time, title: `${event.time} (UTC)` }, clock(event.time));
  const dot = h("i", { class: "dot", title: event.level, data: { level: event.level } });
  const line = h("li", {}, dot, time, h("span", { class: "who" }, event.subject),
    h("span", { class: "what" }, event.type.replace(/^assay\./, "")), h("span", { class: "said" }, String(event.data?.message ?? "")));
  line.lastChild.title = line.lastChild.textContent;
  mark(line, "level", event.level);
  return line;
}
