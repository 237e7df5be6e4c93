// Numbers and times as people read them; what nobody knows is "unknown", never 0.

export const UNKNOWN = 'unknown';

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : UNKNOWN);

/** Dollars to the cent; less than a dollar with as many digits as it takes to see something. */
export function usd(value) {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return '$0';
  const size = Math.abs(value);
  const digits = size >= 1 ? 2 : Math.min(9, Math.max(2, 2 - Math.floor(Math.log10(size))));
  const text = size.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: digits });
  return `${value < 0 ? '−' : ''}$${text}`;
}

export function ms(value) {
  if (!known(value)) return UNKNOWN;
  if (value >= 60000) return `${(value / 60000).toFixed(1)} min`;
  if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  if (value >= 10) return `${value.toFixed(1)} ms`;
  if (value >= 0.1) return `${value.toFixed(2)} ms`;
  return `${(value * 1000).toFixed(0)} µs`;
}

/** A length of time on a scale, without more digits than it needs. */
export const msMark = (value) => (value === 0 ? '0' : value >= 1000 ? `${Number((value / 1000).toPrecision(3))} s` : value >= 1 ? `${Number(value.toPrecision(3))} ms` : `${Number((value * 1000).toPrecision(3))} µs`);

export function percent(share, digits = 1) {
  if (!known(share)) return UNKNOWN;
  const value = share * 100;
  if (value === 0 || value === 100) return `${value}%`;
  const text = value.toFixed(digits);
  if (Number(text) === 100) return '>99.9%'; // not all of them
  return Number(text) === 0 ? '<0.1%' : `${text}%`;
}

export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let place = 0;
  while (value >= 1000 && place < units.length - 1) { value /= 1000; place += 1; }
  return `${place && value < 10 ? value.toFixed(1) : value.toFixed(0)} ${units[place]}`;
}

export function span(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 1) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(0)} h`;
  return `${(seconds / 86400).toFixed(0)} d`;
}

export const ago = (at) => {
  const seconds = (Date.now() - new Date(at).getTime()) / 1000;
  return seconds < 2 ? 'just now' : `${span(seconds)} ago`;
};

const two = (value) => String(value).padStart(2, '0');

export function clock(at) {
  const when = new Date(at);
  return `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
}

export const dateTime = (at) => new Date(at).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export function axisTime(at, window) {
  const when = new Date(at);
  if (window === '1h' || window === '24h') return `${two(when.getHours())}:${two(when.getMinutes())}`;
  return when.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
}

/** A change against the period before, as a share; null where there is nothing to compare with. */
export const change = (now, before) => (known(now) && known(before) && before !== 0 ? (now - before) / Math.abs(before) : null);

export const isKnown = known;
