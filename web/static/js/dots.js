// Dots that travel along the pipes: denser with rate, slower as a queue fills. One canvas, 30 frames a second at
// most; none when nobody looks (hidden, off screen, held) or motion is unwanted.
import { cleared, colour } from "./dom.js";
import { held } from "./shell.js";

const FRAME_MS = 1000 / 30;
const STEPS = 40;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Dots {
  constructor(canvas) {
    this.canvas = canvas; this.ways = []; this.flowing = new Map(); this.visible = true; this.last = 0; this.frames = 0;
    new IntersectionObserver(([seen]) => { this.visible = seen.isIntersecting; this.wake(); }).observe(canvas);
    for (const event of ["held", "themed"]) addEventListener(event, () => this.wake());
    document.addEventListener("visibilitychange", () => this.wake());
    still.addEventListener("change", () => this.wake());
  }

  /** New curves: points along each are taken once, for asking the path in every frame is dear. */
  along(ways) {
    this.ways = ways.map(({ id, path }) => {
      const length = path.getTotalLength();
      return { id, length, phase: 0, points: Array.from({ length: STEPS + 1 }, (_, i) => path.getPointAtLength((i / STEPS) * length)) };
    });
    this.wake();
  }

  flow(edges) {
    this.flowing = new Map(edges.map((edge) => [edge.id, edge]));
    this.wake();
  }

  get moves() { return this.visible && !document.hidden && !held() && !still.matches && this.ways.length > 0; }

  wake() {
    this.palette = null;
    if (this.moves && !this.asked) this.asked = requestAnimationFrame((now) => this.frame(now));
    if (!this.moves && still.matches) cleared(this.canvas);
  }

  frame(now) {
    this.asked = null;
    if (!this.moves) return;
    this.asked = requestAnimationFrame((next) => this.frame(next));
    if (now - this.last < FRAME_MS) return;
    const elapsed = Math.min(0.1, (now - this.last) / 1000);
    this.last = now;
    this.frames += 1;
    const area = cleared(this.canvas);
    if (area) for (const way of this.ways) this.way(area.pen, way, elapsed);
  }

  way(pen, way, elapsed) {
    const edge = this.flowing.get(way.id);
    if (!edge || !(edge.rate > 0)) return;
    const fill = edge.fill ?? 0;
    const gap = Math.max(11, 46 - Math.log10(1 + edge.rate) * 11);
    way.phase = (way.phase + elapsed * (62 - 44 * fill)) % gap;
    pen.fillStyle = this.colour(edge.tier ?? (fill >= 0.8 ? "high" : fill >= 0.5 ? "mid" : "low"));
    const radius = Math.min(2.7, 1.3 + Math.log10(1 + edge.rate) * 0.5);
    pen.beginPath();
    for (let at = way.phase; at < way.length; at += gap) {
      const step = (at / way.length) * STEPS;
      const a = way.points[Math.floor(step)];
      const b = way.points[Math.min(STEPS, Math.floor(step) + 1)];
      const part = step - Math.floor(step);
      const [x, y] = [a.x + (b.x - a.x) * part, a.y + (b.y - a.y) * part];
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, Math.PI * 2);
    }
    pen.fill();
  }

  colour(name) {
    this.palette ??= Object.fromEntries(["gold", "silver", "bronze", "rejected", "low", "mid", "high"].map((one) => [one, colour(one)]));
    return this.palette[name];
  }
}
