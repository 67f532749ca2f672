// The pipeline page: is it flowing, where is it stuck, is anything lost.
import { byId, h, mark, say } from "./dom.js";
import { count, duration, percent, rate } from "./format.js";
import { Cards } from "./cards.js";
import { Graph } from "./graph.js";
import { Log } from "./log.js";
import { TierChart, sparkline } from "./chart.js";
import { held, start } from "./shell.js";

const TIERS = ["gold", "silver", "bronze", "rejected"];
const MEASURES = { completeness: "Completeness", accuracy: "Accuracy", timeliness: "Timeliness", compliance: "Schema", consistency: "Consistency" };
const LOW = 0.9;
const KEPT = 300;
const graph = new Graph(byId("graph"), byId("flow-table"), byId("as-table"));
const cards = new Cards(byId("cards"));
const chart = new TierChart(byId("tier-chart"));
let points = [];

const log = new Log(byId("events"), byId("gap"), 100);
const link = start({
  onFlow: draw,
  subscriptions: {
    metrics: { ch: "metrics", on: take },
    events: { ch: "events", filter: {}, on: (kind, data) => log.take(kind, data) },
  },
});
log.filterWith(document.querySelector(".filter"), link);

function draw(flow) {
  const good = flow.shares.gold === null ? null : flow.shares.gold + flow.shares.silver;
  tile("read", rate(flow.rates.read));
  tile("committed", rate(flow.rates.committed));
  tile("good", percent(good));
  tile("bad", percent(flow.shares.rejected, 2));
  tile("delay", ...duration(flow.delay.p95));
  tile("in_flight", count(flow.ledger.in_flight), "events");
  tiers(flow.shares);
  say(byId("tier-span"), flow.recent ? "last 5 minutes, events/s" : "all that is stored");
  measures(flow.measures);
  cards.draw(flow.sources);
  graph.draw(flow);
}

function tile(id, value, unit) {
  const box = byId(`tile-${id}`);
  say(box.querySelector("b"), value);
  if (unit) say(box.querySelector("small"), unit);
}

function take(kind, fresh) {
  points = kind === "snap" ? fresh : points.concat(fresh).slice(-KEPT);
  if (!held()) charts();
}

function charts() {
  const good = (point) => share(point, point.gold + point.silver);
  sparkline(spark("read"), points.map((point) => point.read));
  sparkline(spark("committed"), points.map((point) => point.committed));
  sparkline(spark("good"), points.map(good));
  sparkline(spark("bad"), points.map((point) => share(point, point.rejected)));
  sparkline(spark("delay"), points.map((point) => point.delay_p95));
  sparkline(spark("in_flight"), points.map((point) => point.in_flight));
  chart.draw(points);
}

const spark = (id) => byId(`tile-${id}`).querySelector("canvas");
const total = (point) => TIERS.reduce((sum, tier) => sum + point[tier], 0);
const share = (point, part) => (total(point) ? part / total(point) : null);

function tiers(shares) {
  const bar = byId("tier-bar");
  const list = byId("tier-list");
  if (!bar.childElementCount) {
    for (const tier of TIERS) {
      bar.append(h("i", { data: { tier } }));
      const name = h("dt", {}, h("i", { class: "swatch", data: { tier } }), tier[0].toUpperCase() + tier.slice(1));
      list.append(h("div", {}, name, h("dd", {}, "–")));
    }
  }
  TIERS.forEach((tier, i) => {
    bar.children[i].style.width = `${(shares[tier] ?? 0) * 100}%`;
    bar.children[i].hidden = !shares[tier];
    say(list.children[i].lastChild, shares[tier] === null ? "–" : `${percent(shares[tier])} %`);
  });
}

function measures(means) {
  const list = byId("measures");
  if (!list.childElementCount) {
    for (const name of Object.values(MEASURES)) {
      list.append(h("div", {}, h("dt", {}, name), h("span", { class: "meter", "aria-hidden": "true" }, h("i")), h("dd", {}, "–")));
    }
  }
  Object.keys(MEASURES).forEach((name, i) => {
    const [, meter, value] = list.children[i].children;
    meter.firstChild.style.width = `${(means[name] ?? 0) * 100}%`;
    say(value, percent(means[name]));
    mark(list.children[i], "low", means[name] !== null && means[name] < LOW ? "yes" : null);
  });
}

addEventListener("themed", charts);
addEventListener("resize", charts);
addEventListener("held", () => { if (!held()) charts(); });
