// The flow as a graph of buttons and pipes, and the same as a table.
import { h, icon, mark, say, svgElement } from "./dom.js";
import { count, rate } from "./format.js";
import { ICONS } from "./cards.js";
import { Dots } from "./dots.js";
import { curves, place, topology } from "./layout.js";

const NODE_ICONS = { bus: "bus", writer: "writer" };
const STORE_ICONS = { hive: "hive", files: "file", elasticsearch: "search" };

/** low, mid or high: the steps at 50 and 80 percent. */
export const load = (fill) => (fill >= 0.8 ? "high" : fill >= 0.5 ? "mid" : "low");

export class Graph {
  constructor(box, table, toggle) {
    this.box = box; this.table = table; this.shape = ""; this.nodes = new Map(); this.edges = new Map();
    [this.svg, this.canvas, this.labels, this.list] = box.children;
    this.dots = new Dots(this.canvas);
    toggle.addEventListener("click", () => this.toggle(toggle));
    new ResizeObserver(() => { this.shape = ""; if (this.flow) this.draw(this.flow); }).observe(box);
  }

  toggle(button) {
    const asTable = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(asTable));
    this.table.hidden = !asTable;
    this.box.hidden = asTable;
    if (this.flow) this.draw(this.flow);
  }

  draw(flow) {
    this.flow = flow;
    const { nodes, edges } = topology(flow);
    if (!this.table.hidden) return this.rows(nodes, edges);
    const width = this.box.clientWidth;
    const shape = `${width} ${nodes.map((node) => node.id).join()}`;
    if (shape !== this.shape && width) this.build(nodes, edges, width, shape);
    for (const node of nodes) this.node(node);
    for (const edge of edges) this.edge(edge);
    this.dots.flow(edges);
  }

  build(nodes, edges, width, shape) {
    this.shape = shape;
    const placed = place(nodes, width);
    this.down = placed.down;
    this.box.style.height = `${placed.height}px`;
    this.svg.replaceChildren(); this.labels.replaceChildren(); this.list.replaceChildren();
    this.nodes.clear(); this.edges.clear();
    const paths = curves(edges, placed);
    edges.forEach((edge, i) => this.pipe(edge, paths[i], placed.down));
    for (const node of nodes) this.station(node, placed.boxes[node.id], edges);
    this.dots.along(edges.map((edge) => ({ id: edge.id, path: this.edges.get(edge.id).path })));
  }

  pipe(edge, d, down) {
    const path = svgElement("path", { d });
    this.svg.append(path);
    const label = edge.label ? h("span") : null;
    if (label) {
      const at = path.getPointAtLength(path.getTotalLength() * (edge.from === "bus" ? 0.62 : edge.to === "bus" ? (down ? 0.5 : 0.3) : 0.5));
      label.style.left = `${at.x}px`; label.style.top = `${at.y}px`;
      this.labels.append(label);
    }
    this.edges.set(edge.id, { path, label });
  }

  station(node, box, edges) {
    const picture = node.kind === "tier" ? [] : [icon(node.kind === "source" ? ICONS[node.type] ?? "db" : NODE_ICONS[node.kind] ?? STORE_ICONS[node.store] ?? "db")];
    const bar = node.kind === "source" ? [h("span", { class: "foot-bar" }, h("i"))] : [];
    const button = h("button", { type: "button", class: "node" }, ...picture, h("b", {}, node.name), h("small"), h("i", { class: "dot" }), ...bar);
    if (node.tier) button.dataset.tier = node.tier;
    const item = h("li", {}, button);
    Object.assign(item.style, { left: `${box.x}px`, top: `${box.y}px`, width: `${box.w}px`, height: `${box.h}px` });
    const light = () => this.light(node.id, edges);
    const dark = () => this.light(null, edges);
    for (const [event, act] of [["mouseenter", light], ["mouseleave", dark], ["focus", light], ["blur", dark]]) button.addEventListener(event, act);
    this.nodes.set(node.id, button);
    this.list.append(item);
  }

  /** Show the way up and down from a station; the rest is dimmed. */
  light(id, edges) {
    mark(this.box, "lit", id === null ? null : "yes");
    const reach = (from, to) => {
      const on = new Set([id]);
      for (let grown = true; grown;) {
        grown = false;
        for (const edge of edges) if (on.has(edge[from]) && !on.has(edge[to])) { on.add(edge[to]); grown = true; }
      }
      return on;
    };
    const down = reach("from", "to");
    const up = reach("to", "from");
    for (const [name, button] of this.nodes) mark(button, "on", down.has(name) || up.has(name) ? "yes" : null);
    for (const edge of edges) {
      const on = (down.has(edge.from) && down.has(edge.to)) || (up.has(edge.from) && up.has(edge.to)) ? "yes" : null;
      const { path, label } = this.edges.get(edge.id);
      mark(path, "on", on);
      if (label) mark(label, "on", on);
    }
  }

  node(node) {
    const button = this.nodes.get(node.id);
    mark(button, "level", node.level);
    const dot = button.querySelector(".dot");
    mark(dot, "level", node.level);
    say(button.querySelector("small"), under(node, this.down));
    button.setAttribute("aria-label", `${node.name}, ${node.kind}: ${node.word}, ${rate(node.rate)} events per second${full(node.fill)}`);
    const bar = button.querySelector(".foot-bar i");
    if (bar) { bar.style.width = `${(node.fill ?? 0) * 100}%`; mark(bar, "fill", load(node.fill ?? 0)); }
  }

  edge(edge) {
    const { path, label } = this.edges.get(edge.id);
    mark(path, "fill", load(edge.fill ?? 0));
    mark(path, "level", edge.level ?? "ok");
    path.style.strokeWidth = `${edge.rate > 0 ? Math.min(7, 2.5 + Math.log10(1 + edge.rate) * 1.3) : 2}`;
    if (!label) return;
    mark(label, "fill", load(edge.fill ?? 0));
    say(label, (edge.fill ?? 0) > 0.8 ? `${Math.round(edge.fill * 100)} % full` : edge.rate > 0 && !(this.down && edge.to === "bus") ? rate(edge.rate) : "");
  }

  rows(nodes, edges) {
    const names = Object.fromEntries(nodes.map((node) => [node.id, node.name]));
    this.table.querySelector("tbody").replaceChildren(...nodes.map((node) => h("tr", {},
      h("th", { scope: "row" }, node.name), h("td", {}, h("span", { class: "state" }, h("i", { class: "dot", data: { level: node.level } }), node.kind === "tier" ? "" : node.word)),
      h("td", {}, edges.filter((edge) => edge.from === node.id).map((edge) => names[edge.to]).join(", ") || "–"),
      h("td", { class: "n" }, rate(node.rate)), h("td", { class: "n" }, node.fill === null || node.fill === undefined ? "–" : `${Math.round(node.fill * 100)} %`))));
  }
}

const full = (fill) => (fill === null || fill === undefined ? "" : `, queue ${Math.round(fill * 100)} % full`);

function under(node, down) {
  if (node.kind === "source") return node.level !== "ok" ? node.word : down ? `${rate(node.rate)} /s` : node.under;
  if (node.kind === "tier" && !(node.rate > 0)) return node.kept ? count(node.kept) : "–";
  if (node.waiting) return `${count(node.waiting)} waiting`;
  if (node.kind !== "tier" && node.level !== "ok") return node.word;
  return node.kind === "store" ? node.word : `${rate(node.rate)} /s`;
}
