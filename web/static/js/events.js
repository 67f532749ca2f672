// The event log; its filter lives in the address.
import { byId } from "./dom.js";
import { Log } from "./log.js";
import { start } from "./shell.js";

const form = byId("find");
const wanted = new URLSearchParams(location.search);
for (const name of ["q", "source", "type"]) form.elements[name].value = wanted.get(name) ?? "";
const levels = document.querySelector(".filter");
const level = ["info", "warning", "error"].includes(wanted.get("level")) ? wanted.get("level") : "info";
for (const button of levels.children) button.setAttribute("aria-pressed", String(button.dataset.level === level));

const log = new Log(byId("events"), byId("gap"), 500);
const link = start({ onFlow: () => {}, subscriptions: { events: { ch: "events", filter: filter(), on: (kind, data) => log.take(kind, data) } } });
log.filterWith(levels, link);
levels.addEventListener("click", address);
form.addEventListener("submit", (event) => event.preventDefault());
let typing = 0;
form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { log.refilter(filter()); address(); }, 300);
});

function filter() {
  const words = (name) => form.elements[name].value.split(",").map((word) => word.trim()).filter(Boolean);
  const pressed = levels.querySelector('[aria-pressed="true"]').dataset.level;
  return { level: pressed, q: form.elements.q.value.trim(), source: words("source"), type: words("type") };
}

function address() {
  const kept = Object.entries(filter()).filter(([name, value]) => value.length && !(name === "level" && value === "info"));
  const query = new URLSearchParams(kept.map(([name, value]) => [name, String(value)])).toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}
