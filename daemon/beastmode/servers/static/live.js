// The stream of changes: comes back by itself, knows how old it is, and starts the page anew when its files changed.

const STALE_MS = 4000;
const PAUSES_MS = [250, 500, 1000, 2000, 4000];

export class Live {
  constructor({ onParts, onState }) {
    this.onParts = onParts;
    this.onState = onState;
    this.state = 'connecting'; // connecting, live, away, out
    this.heardAt = 0;
    this.build = null;
    this.failures = 0;
    this.source = null;
    this.timer = 0;
    setInterval(() => this.look(), 500);
    addEventListener('online', () => this.again(0));
  }

  /** Seconds since anything was heard; null before the first time. */
  get age() {
    return this.heardAt ? (performance.now() - this.heardAt) / 1000 : null;
  }

  open(query) {
    this.query = query;
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource(`/dashboard/events${query ? `?${query}` : ''}`);
    this.source = source;
    this.openedAt = performance.now();
    source.onmessage = (event) => this.source === source && this.take(JSON.parse(event.data));
    source.addEventListener('ping', () => this.source === source && this.heard());
    source.onerror = () => this.source === source && this.lost();
  }

  heard() {
    this.heardAt = performance.now();
    this.failures = 0;
    this.turn('live');
  }

  take(frame) {
    const build = frame.daemon?.build;
    if (build && this.build && build !== this.build) {
      location.reload(); // the daemon was updated
      return;
    }
    this.build = build || this.build;
    this.heard();
    this.onParts(frame);
  }

  async lost() {
    this.source?.close();
    this.source = null;
    this.turn('away');
    this.again(PAUSES_MS[Math.min(this.failures, PAUSES_MS.length - 1)]);
    this.failures += 1;
    try {
      const reply = await fetch('/dashboard/events', { method: 'HEAD', cache: 'no-store' });
      if (reply.status === 401) {
        clearTimeout(this.timer);
        this.turn('out');
      }
    } catch {
      // the daemon is away; the timer is set
    }
  }

  again(pause) {
    if (this.state === 'live' || this.state === 'out') return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(this.query), pause);
  }

  /** A stream that says nothing is as good as gone: a sleeping laptop, a stopped process. */
  look() {
    const since = performance.now() - Math.max(this.heardAt, this.openedAt || 0);
    if (this.source && since > STALE_MS) this.lost();
    this.onState(this.state, this.age);
  }

  turn(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(this.state, this.age);
  }
}

/** Asks one of the daemon's methods; throws an error with `tips`. */
export async function call(method, params = {}) {
  const reply = await fetch(`/dashboard/api/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(params),
  });
  const body = await reply.json();
  if (reply.ok) return body;
  const error = new Error(body.error?.message || `The daemon answered ${reply.status}.`);
  error.tips = body.error?.tip || [];
  throw error;
}
