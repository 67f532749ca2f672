// One card a source: state, rate, how far behind, the last error in words, and its tiers.
import { h, icon, mark, say } from "./dom.js";
import { behind, count, rate } from "./format.js";

const TIERS = ["gold", "silver", "bronze", "rejected"];
export const ICONS = { file: "file", sql: "db" };

export class Cards {
  constructor(box) { this.box = box; this.cards = new Map(); }

  draw(sources) {
    if (sources.length && !this.cards.size) this.box.replaceChildren();
    for (const source of sources) this.card(source);
    for (const [name, card] of this.cards) {
      if (!sources.some((source) => source.name === name)) { card.remove(); this.cards.delete(name); }
    }
  }

  card(source) {
    let card = this.cards.get(source.name);
    if (!card) {
      const state = h("span", { class: "state" }, h("i", { class: "dot" }), h("span"));
      card = h("article", { class: "card source" },
        h("h3", {}, icon(ICONS[source.type] ?? "db"), h("span", {}, source.name), state),
        h("p", {}, h("b"), h("span")), h("div", { class: "split", "aria-hidden": "true" }, ...TIERS.map((tier) => h("i", { data: { tier } }))));
      this.cards.set(source.name, card);
      this.box.append(card);
    }
    mark(card, "level", source.level);
    const state = card.querySelector(".state");
    mark(state, "level", source.level);
    mark(state.firstChild, "level", source.level);
    say(state.lastChild, source.word);
    const moving = source.rate > 0;
    const [number, words] = card.querySelector("p").children;
    say(number, moving ? rate(source.rate) : count(source.read));
    const told = source.error ?? ([behind(source.lag), source.detail].filter(Boolean).join(", ") || source.dataset);
    say(words, ` ${moving ? "ev/s" : "read"}, ${told}`);
    card.querySelector("p").title = source.error ?? "";
    TIERS.forEach((tier, i) => { card.lastChild.children[i].style.width = `${source.committed ? (source[tier] / source.committed) * 100 : 0}%`; });
  }
}
