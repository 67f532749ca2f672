// The socket: subscribes, notices gaps and silence, comes back by itself. Protocol: docs/web.md.
const SILENCE_MS = 35_000;
const HIDDEN_MS = 30_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export class Link {
  /** @param subscriptions {id: {ch, hz?, filter?, on(kind, data, message)}}  @param onState (word, ms|null) */
  constructor(subscriptions, onState) {
    this.subscriptions = subscriptions;
    this.onState = onState;
    this.seq = {};
    this.epoch = null;
    this.failures = 0;
    this.lastHeard = Date.now();
    setInterval(() => this.watch(), 5000);
    document.addEventListener("visibilitychange", () => this.seen());
    this.open();
  }

  open() {
    this.onState("connecting", null);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws`, "assay.v1");
    this.socket.onopen = () => this.send({ t: "hello", v: 1 });
    this.socket.onmessage = (event) => this.heard(JSON.parse(event.data));
    this.socket.onclose = (event) => this.closed(event.code);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  subscribe(id) {
    const { ch, hz, filter } = this.subscriptions[id];
    this.send({ t: "sub", id, ch, hz: hz ?? 5, filter: filter ?? {}, since: null });
  }

  heard(message) {
    this.lastHeard = Date.now();
    if (message.t === "welcome") return this.welcomed(message);
    if (message.t === "pong") return this.onState("live", performance.now() - message.ts);
    const subscription = this.subscriptions[message.id];
    if (!subscription) return;
    if (message.t === "gap") return subscription.on("gap", message.missed, message);
    if (message.t === "d" && message.prev !== this.seq[message.id]) return this.send({ t: "resync", id: message.id });
    if (message.t === "snap" || message.t === "d") {
      this.seq[message.id] = message.seq;
      subscription.on(message.t, message.data, message);
    }
  }

  welcomed(message) {
    this.failures = 0;
    this.epoch = message.epoch;
    this.onState("live", null);
    this.asleep = false;
    for (const id of Object.keys(this.subscriptions)) this.subscribe(id);
    setTimeout(() => this.ping(), 1500);
  }

  ping() { this.send({ t: "ping", ts: performance.now() }); }

  closed(code) {
    if (code === 4401) { location.assign("/login"); return; }
    this.onState(code === 4429 ? "crowded" : "offline", null);
    const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures++);
    setTimeout(() => this.open(), Math.random() * most + 100);
  }

  watch() {
    if (Date.now() - this.lastHeard > SILENCE_MS) this.socket.close();
    else if (!this.asleep) this.ping();
  }

  /** A hidden page stops asking for the flow after half a minute, and asks again when it is seen. */
  seen() {
    clearTimeout(this.sleeping);
    if (document.hidden) {
      this.sleeping = setTimeout(() => { this.asleep = true; this.send({ t: "unsub", id: "flow" }); }, HIDDEN_MS);
    } else if (this.asleep) {
      this.asleep = false;
      this.subscribe("flow");
    }
  }
}
