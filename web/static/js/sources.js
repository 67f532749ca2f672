// Every source's books, and the stations.
import { byId, h, mark } from "./dom.js";
import { behind, count, rate } from "./format.js";
import { start } from "./shell.js";

const BOOKS = ["read", "gold", "silver", "bronze", "rejected", "quarantined", "duplicate", "in_flight", "imbalance"];
start({ onFlow: draw });

function draw(flow) {
  if (flow.sources.length) {
    byId("books").tBodies[0].replaceChildren(...flow.sources.map(row));
    const sums = BOOKS.map((name) => number(flow.ledger[name], name));
    byId("books").tFoot.replaceChildren(h("tr", {}, h("td", {}, "All"), h("td"), ...sums, h("td", { class: "n" }, rate(flow.rates.read)), h("td")));
  }
  const named = [...flow.stations, ...flow.stores];
  if (named.length) byId("stations").tBodies[0].replaceChildren(...named.map(station));
}

function row(source) {
  const why = source.error ? [h("div", { class: "why" }, source.error)] : [];
  return h("tr", {},
    h("td", {}, h("b", {}, source.name), h("small", {}, `${source.type} · ${source.dataset}`)),
    h("td", {}, state(source), ...why),
    ...BOOKS.map((name) => number(source[name], name)),
    h("td", { class: "n" }, rate(source.rate)), h("td", { class: "n" }, behind(source.lag) || "–"));
}

function station(one) {
  return h("tr", {}, h("td", {}, h("b", {}, one.name)), h("td", {}, state(one)),
    h("td", { class: "n" }, String(one.pid ?? "–")), h("td", { class: "n" }, count(one.restarts)), h("td", { class: "n" }, count(one.waiting)));
}

const state = (one) => h("span", { class: "state" }, h("i", { class: "dot", data: { level: one.level } }), one.word);

function number(value, name) {
  const cell = h("td", { class: "n" }, count(value));
  mark(cell, "missing", name === "imbalance" && value !== 0 ? "yes" : null);
  return cell;
}
