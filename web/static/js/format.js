// Numbers and times as people read them.
const whole = new Intl.NumberFormat("en");
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

export const count = (n) => (n === null || n === undefined ? "–" : whole.format(n));

/** Events a second: whole from 10 up, one digit below, 0 as 0. */
export function rate(n) {
  if (n === null || n === undefined) return "–";
  if (n >= 100_000) return `${whole.format(Math.round(n / 1000))}k`;
  return n === 0 || n >= 10 ? whole.format(Math.round(n)) : one.format(n);
}

export const percent = (share, digits = 1) =>
  share === null || share === undefined ? "–" : (share * 100).toFixed(digits);

export function duration(ms) {
  if (ms === null || ms === undefined) return ["–", "ms"];
  return ms < 1000 ? [ms < 100 ? ms.toFixed(1) : Math.round(ms).toString(), "ms"] : [(ms / 1000).toFixed(ms < 10_000 ? 2 : 1), "s"];
}

export function seconds(s) {
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86_400)} days`;
}

/** How far behind, in words. */
export function behind(lag) {
  if (lag.seconds !== null && lag.seconds !== undefined && lag.seconds >= 1) return `${seconds(lag.seconds)} behind`;
  if (lag.records) return `${count(lag.records)} behind`;
  return lag.seconds === null && lag.records === null ? "" : "up to date";
}

const clockForm = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const clock = (iso) => { const at = new Date(iso); return Number.isNaN(at.valueOf()) ? "" : clockForm.format(at); };
