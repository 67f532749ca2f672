// Where stations stand and how pipes run. Pure: sizes in, boxes and curves out.

const HEIGHT = 44;
const WIDTHS = { source: 138, bus: 118, tier: 96, writer: 112, store: 128 };
const COLUMNS = ["source", "bus", "tier", "writer", "store"];

/** Stations and pipes of a flow, in the order of the flow. */
export function topology(flow) {
  const tiers = ["gold", "silver", "bronze", "rejected"];
  const station = (name) => flow.stations.find((one) => one.name === name) ?? { level: "off", word: flow.stored ? "Stopped" : "Starting" };
  const busy = flow.rates;
  const nodes = [
    ...flow.sources.map((s) => ({ id: `s:${s.name}`, kind: "source", name: s.name, type: s.type, level: s.level, word: s.word, rate: s.rate, fill: s.fill, under: s.detail || s.type })),
    { id: "bus", kind: "bus", name: "Event bus", ...lit(station("bus")), rate: busy.read },
    ...tiers.map((t) => ({ id: `t:${t}`, kind: "tier", tier: t, name: t[0].toUpperCase() + t.slice(1), level: "ok", word: "Tier", rate: busy[t], kept: flow.ledger[t] })),
    { id: "writer", kind: "writer", name: "Writer", ...lit(station("writer")), rate: busy.committed },
    ...flow.stores.map((s) => ({ id: `d:${s.name}`, kind: "store", name: STORES[s.name] ?? s.name, store: s.name, level: s.level, word: s.word, rate: busy.committed, waiting: s.waiting })),
  ];
  const edges = [
    ...flow.sources.map((s) => ({ from: `s:${s.name}`, to: "bus", rate: s.rate, fill: s.fill, level: s.level, label: true })),
    ...tiers.map((t) => ({ from: "bus", to: `t:${t}`, rate: busy[t], tier: t, label: true })),
    ...tiers.map((t) => ({ from: `t:${t}`, to: "writer", rate: busy[t], tier: t })),
    ...flow.stores.map((s) => ({ from: "writer", to: `d:${s.name}`, rate: s.level === "ok" ? busy.committed : 0, level: s.level, label: s.level === "ok" })),
  ];
  return { nodes, edges: edges.map((edge) => ({ ...edge, id: `${edge.from}>${edge.to}` })) };
}

const STORES = { hive: "Hive", files: "Table files", aggregates: "Aggregates", elasticsearch: "Elasticsearch" };
const lit = (station) => ({ level: station.level, word: station.word });

/** Boxes by id and the height they need. Narrow screens flow downwards. */
export function place(nodes, width) {
  return width < 560 ? downwards(nodes, width) : rightwards(nodes, width);
}

function rightwards(nodes, width) {
  const groups = COLUMNS.map((kind) => nodes.filter((node) => node.kind === kind));
  const scale = Math.min(1, width / 900);
  const widths = COLUMNS.map((kind) => WIDTHS[kind] * Math.max(0.8, scale));
  const gap = (width - widths.reduce((a, b) => a + b, 0)) / (COLUMNS.length - 1);
  const height = Math.max(300, groups[0].length * (HEIGHT + 8));
  const boxes = {};
  let x = 0;
  groups.forEach((group, column) => {
    const step = column === 0 || column === 2 ? height / Math.max(group.length, 1) : Math.min(height / Math.max(group.length, 1), 96);
    const squeezed = column === 2 ? step * 0.86 : step;
    const top = (height - squeezed * group.length) / 2;
    group.forEach((node, i) => { boxes[node.id] = { x, y: top + squeezed * (i + 0.5) - HEIGHT / 2, w: widths[column], h: HEIGHT }; });
    x += widths[column] + gap;
  });
  return { boxes, height, down: false };
}

function downwards(nodes, width) {
  const boxes = {};
  let y = 0;
  for (const kind of COLUMNS) {
    const group = nodes.filter((node) => node.kind === kind);
    if (!group.length) continue;
    const most = kind === "tier" ? 4 : 3;
    for (let start = 0; start < group.length; start += most) {
      const row = group.slice(start, start + most);
      const w = row.length === 1 && kind !== "source" ? 150 : (width - 8 * ((kind === "source" ? most : row.length) - 1)) / (kind === "source" ? most : row.length);
      const left = (width - (w * row.length + 8 * (row.length - 1))) / 2;
      row.forEach((node, i) => { boxes[node.id] = { x: left + i * (w + 8), y, w, h: HEIGHT }; });
      y += HEIGHT + 10;
    }
    y += 54;
  }
  return { boxes, height: y - 62, down: true };
}

/** The curve of each pipe; where several meet one side they are spread over it. */
export function curves(edges, { boxes, down }) {
  const spread = (list, edge, box) => {
    const i = list.indexOf(edge);
    const room = (down ? box.w : box.h) - 16;
    return list.length < 2 ? 0 : (i / (list.length - 1) - 0.5) * Math.min(room, list.length * 7);
  };
  const across = down ? "x" : "y";
  return edges.map((edge) => {
    const [a, b] = [boxes[edge.from], boxes[edge.to]];
    const order = (key, other) => edges.filter((one) => one[key] === edge[key]).sort((p, q) => boxes[p[other]][across] - boxes[q[other]][across]);
    const out = spread(order("from", "to"), edge, a);
    const into = spread(order("to", "from"), edge, b);
    if (down) {
      const [x1, y1, x2, y2] = [a.x + a.w / 2 + out, a.y + a.h, b.x + b.w / 2 + into, b.y];
      const bend = Math.max(18, (y2 - y1) * 0.5);
      return `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`;
    }
    const [x1, y1, x2, y2] = [a.x + a.w, a.y + a.h / 2 + out, b.x, b.y + b.h / 2 + into];
    const bend = (x2 - x1) * 0.52;
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  });
}
