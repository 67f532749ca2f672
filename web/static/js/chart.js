// Sparklines by hand; the stacked tiers by uPlot, which has no stacking: the sums are made here.
import { cleared, colour } from "./dom.js";

const TIERS = ["gold", "silver", "bronze", "rejected"];
const NARROW = 24;

/** The last two minutes of a value as a line, three seconds a point; nulls are gaps. Nothing where the number left no room. */
export function sparkline(canvas, values) {
  const area = cleared(canvas);
  const shown = thirds(values.slice(-120));
  const known = shown.filter((value) => value !== null);
  if (!area || area.width < NARROW || known.length < 2) return;
  const low = Math.min(...known);
  const span = Math.max(...known) - low;
  const { pen, width, height } = area;
  pen.strokeStyle = colour("spark");
  pen.lineWidth = 1.4;
  pen.lineJoin = "round";
  pen.beginPath();
  let down = false;
  shown.forEach((value, i) => {
    if (value === null) { down = false; return; }
    const x = 1 + (i / (shown.length - 1)) * (width - 2);
    const y = span ? height - 3 - ((value - low) / span) * (height - 6) : height / 2;
    if (down) pen.lineTo(x, y); else pen.moveTo(x, y);
    down = true;
  });
  pen.stroke();
}

function thirds(values) {
  const means = [];
  for (let i = values.length % 3; i < values.length; i += 3) {
    const known = values.slice(i, i + 3).filter((value) => value !== null);
    means.push(known.length ? known.reduce((a, b) => a + b, 0) / known.length : null);
  }
  return means;
}

export class TierChart {
  constructor(box) {
    this.box = box;
    addEventListener("themed", () => { this.plot?.destroy(); this.plot = null; });
    addEventListener("resize", () => this.plot?.setSize(this.size()));
  }

  size() { return { width: Math.max(120, this.box.clientWidth), height: Math.max(120, this.box.clientHeight) }; }

  draw(points) {
    const data = stacked(points);
    if (this.plot) this.plot.setData(data);
    else if (points.some((point) => TIERS.some((tier) => point[tier] > 0)) && points.length > 1) this.plot = new uPlot(options(this.size()), data, this.box);
  }
}

/** x, then for each tier the sum up to it, topmost first, so that lower bands are drawn over higher ones. */
function stacked(points) {
  const below = points.map(() => 0);
  const bands = TIERS.map((tier) => points.map((point, i) => (below[i] += point[tier])));
  return [points.map((point) => point.at), ...bands.reverse()];
}

function options({ width, height }) {
  const axis = { stroke: colour("muted"), font: '11px "Inter", sans-serif', grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  const band = (tier) => ({ stroke: colour(tier), fill: colour(tier), width: 1, points: { show: false } });
  return {
    width, height, legend: { show: false }, cursor: { show: false }, padding: [8, 18, 0, 0],
    scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 24, gap: 2, space: 70, values: (_, at) => at.map((t) => new Date(t * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })), incrs: [60, 120, 300] },
      { ...axis, size: 44, gap: 4, space: 54, values: (_, values) => values.map((v) => (v >= 10_000 ? `${v / 1000}k` : String(v))) },
    ],
    series: [{}, ...[...TIERS].reverse().map(band)],
  };
}
