// What every page has: verdict, ledger line, link, hold, stale and empty states.
import { byId, icon, mark, say } from "./dom.js";
import { count, seconds } from "./format.js";
import { Link } from "./link.js";

const STALE_MS = 3000;
const view = { held: false, flow: null, at: 0, link: "connecting", onFlow: null };

/** Connect and keep the frame of the page; `onFlow(flow)` draws the rest. */
export function start({ onFlow, subscriptions = {} }) {
  view.onFlow = onFlow;
  byId("hold").addEventListener("click", hold);
  setInterval(age, 500);
  const flow = { ch: "flow", hz: 4, on: (_, data) => took(data) };
  return new Link({ flow, ...subscriptions }, linked);
}

/** Whether the visitor has stopped the picture. */
export const held = () => view.held;

function took(flow) {
  view.flow = flow;
  view.at = Date.now();
  if (!view.held) draw();
}

function draw() {
  frame(view.flow);
  view.onFlow(view.flow);
}

function hold() {
  view.held = !view.held;
  const button = byId("hold");
  button.setAttribute("aria-pressed", String(view.held));
  button.replaceChildren(icon(view.held ? "play" : "hold"), Object.assign(document.createElement("span"), { textContent: view.held ? "Go on" : "Hold view" }));
  dispatchEvent(new Event("held"));
  if (!view.held && view.flow) draw();
}

function frame(flow) {
  mark(byId("verdict-dot"), "level", flow.verdict.level);
  say(byId("verdict"), flow.verdict.text);
  ledger(flow.ledger);
  const ill = flow.sources.filter((source) => source.level === "error" || source.level === "warn").length;
  byId("ill").hidden = ill === 0;
  say(byId("ill"), String(ill));
  mark(byId("run-dot"), "level", flow.stored || flow.state === "starting" ? "off" : { failed: "error", degraded: "warn" }[flow.state] ?? "ok");
  say(byId("run-state"), flow.stored ? "Stored state" : flow.state[0].toUpperCase() + flow.state.slice(1));
  say(byId("run-mode"), [flow.mode && `${flow.mode} mode`, `${flow.sources.length} sources`].filter(Boolean).join(", "));
}

function ledger(books) {
  const balanced = books.imbalance === 0;
  mark(byId("ledger"), "balanced", balanced ? "yes" : "no");
  say(byId("ledger-word"), balanced ? "Balanced" : "Unbalanced");
  const sum = `${count(books.read)} read = ${count(books.saved)} saved + ${count(books.in_flight)} in flight`;
  const off = books.imbalance > 0 ? ` + ${count(books.imbalance)} missing` : ` − ${count(-books.imbalance)} too many`;
  say(byId("ledger-line"), balanced ? sum : sum + off);
}

function linked(word, ms) {
  view.link = word;
  if (word === "live" && ms !== null) view.lag = ms;
  age();
}

/** Live, held, stale or offline: in words, with a shape and a colour. */
function age() {
  const silent = view.at ? Date.now() - view.at : 0;
  const stale = view.at > 0 && !view.flow.stored && !document.hidden && (silent > STALE_MS || view.link !== "live");
  mark(document.body, "stale", stale ? "yes" : null);
  const words = {
    live: view.flow?.stored ? "stored" : `live${view.lag === undefined ? "" : `, ${Math.max(1, Math.round(view.lag))} ms`}`,
    connecting: "connecting", offline: "no connection", crowded: "too many pages open",
  };
  const gone = view.link === "offline" || view.link === "crowded";
  mark(byId("link-dot"), "level", gone ? "error" : stale ? "warn" : view.flow?.stored ? "off" : view.link === "live" && view.at ? "ok" : "off");
  say(byId("link"), view.held ? "held" : words[view.link]);
  const notice = byId("notice");
  notice.hidden = !stale;
  if (stale) say(notice, `${gone ? "No connection; trying again. " : "Nothing new. "}Last update ${seconds(silent / 1000)} ago.`);
}
