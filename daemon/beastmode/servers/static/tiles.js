// The tiles: each figure with how it went and how it was in the period before.

import { h, show } from './dom.js';
import { change, count, isKnown, ms, percent, usd, UNKNOWN } from './format.js';
import { spark } from './charts.js';
import { SPANS } from './view.js';

const share = (part, total) => (total ? part / total : null);
const judged = (requests) => requests.success + requests.failure;

function delta(now, before, { better, points = false, window }) {
  const moved = points ? (isKnown(now) && isKnown(before) ? now - before : null) : change(now, before);
  const against = `against ${SPANS[window]} before`;
  if (moved === null) return h('span', { class: 'delta none', title: `nothing to compare with ${against}` }, 'no earlier figure');
  const size = points ? `${Math.abs(moved * 100).toFixed(1)} points` : percent(Math.abs(moved));
  if (Math.abs(moved) < 0.0005) return h('span', { class: 'delta', title: against }, 'unchanged');
  const good = better && (moved > 0) === (better === 'more');
  const tone = better ? (good ? 'good' : 'bad') : '';
  return h('span', { class: `delta ${tone}`, title: against },
    h('span', { 'aria-hidden': 'true' }, moved > 0 ? '↑ ' : '↓ '), h('span', { class: 'unseen' }, moved > 0 ? 'up ' : 'down '), size);
}

function tile(name, label, { value, raw, parts, foot, moved, line }) {
  return h('article', { class: 'tile', 'data-key': name, 'data-tile': name },
    h('header', {}, h('h3', {}, label), moved),
    h('p', { class: `value${value === UNKNOWN ? ' unknown' : ''}`, 'data-value': isKnown(raw) ? raw : '' }, value),
    parts ? h('dl', { class: 'parts' }, parts.map(([term, text, plain]) => h('div', {}, h('dt', {}, term), h('dd', { 'data-value': isKnown(plain) ? plain : '' }, text)))) : null,
    foot ? h('p', { class: 'foot' }, foot) : null,
    line ? spark(line, label) : h('div', { class: 'spark' }));
}

const times = (figure) => ['p95', 'p99'].map((name) => [name, ms(figure[name]), figure[name]]);

function tracked(daemon) {
  if (!daemon) return null;
  const going = daemon.in_flight ? ` + ${count(daemon.in_flight)} on the way` : '';
  return h('span', { 'data-tracked': `${daemon.sent}/${daemon.recorded}`, title: 'since the daemon was started' },
    `tracked: ${count(daemon.sent)} sent = ${count(daemon.recorded)} recorded${going}`);
}

/** An older ledger takes a while to be added up; its figures are right, and take longer. */
function addingUp(history) {
  if (!history || history.complete) return null;
  return h('span', { class: 'badge warn', 'data-history': history.done, title: 'the figures are right, and take longer until then' },
    `history is being added up: ${percent(history.done)}`);
}

/** Draws all tiles. */
export function tiles({ figures, trend, daemon, view }) {
  if (!figures) return;
  const { requests, cache, costs } = figures;
  const window = figures.window;
  const before = trend?.window === window ? trend.before : null;
  const points = trend?.window === window ? trend.series.points : [];
  const line = (of) => points.map(of);
  const each = (point) => point.success + point.failure + point.refused + point.cancelled;
  const rate = share(requests.success, judged(requests));
  const asked = cache.exact + cache.semantic + cache.miss;
  const against = { window };
  show('tiles', [
    tile('requests', 'Requests', {
      value: count(requests.total), raw: requests.total, foot: [tracked(daemon), addingUp(figures.history)],
      moved: delta(requests.total, before?.requests.total, against), line: line(each),
    }),
    tile('success', 'Success rate', {
      value: percent(rate, 2), raw: rate,
      parts: [['success', count(requests.success), requests.success], ['failure', count(requests.failure), requests.failure],
        ['refused', count(requests.refused), requests.refused], ['cancelled', count(requests.cancelled), requests.cancelled]],
      moved: delta(rate, before && share(before.requests.success, judged(before.requests)), { ...against, better: 'more', points: true }),
      line: line((point) => share(point.success, judged(point))),
    }),
    tile('latency', 'Latency, median', {
      value: ms(figures.latency_ms.p50), raw: figures.latency_ms.p50, parts: times(figures.latency_ms),
      moved: delta(figures.latency_ms.p50, before?.latency_ms.p50, { ...against, better: 'less' }), line: line((point) => point.p50_ms),
    }),
    tile('ttft', 'First token, median', {
      value: ms(figures.ttft_ms.p50), raw: figures.ttft_ms.p50, parts: times(figures.ttft_ms),
      moved: delta(figures.ttft_ms.p50, before?.ttft_ms.p50, { ...against, better: 'less' }), line: line((point) => point.ttft_p50_ms),
    }),
    tile('hits', 'Cache hit rate', {
      value: percent(cache.hit_rate), raw: cache.hit_rate,
      parts: [['exact', percent(share(cache.exact, asked)), cache.exact], ['by meaning', percent(share(cache.semantic, asked)), cache.semantic]],
      foot: `${count(cache.exact + cache.semantic)} of ${count(asked)} asked`,
      moved: delta(cache.hit_rate, before?.cache.hit_rate, { ...against, better: 'more', points: true }), line: line((point) => point.hit_rate),
    }),
    tile('spent', 'Spent', {
      value: usd(costs.total_usd), raw: costs.total_usd,
      foot: costs.unknown ? `and ${count(costs.unknown)} of unknown cost` : 'every cost is known',
      moved: delta(costs.total_usd, before?.costs.total_usd, { ...against, better: 'less' }), line: line((point) => point.cost_usd),
    }),
    tile('saved', 'Saved by the cache', {
      value: usd(costs.saved_usd), raw: costs.saved_usd,
      foot: isKnown(costs.saved_percent) ? `${percent(costs.saved_percent / 100)} of what it would have cost` : 'nothing to save from yet',
      moved: delta(costs.saved_usd, before?.costs.saved_usd, { ...against, better: 'more' }), line: line((point) => point.saved_usd),
    }),
    costs.baseline || isKnown(costs.saved_route_usd) ? tile('routed', 'Saved by routing', {
      value: usd(costs.saved_route_usd), raw: costs.saved_route_usd, foot: `against ${costs.baseline || 'the baseline'}; beside, not in, what the cache saved`,
      moved: delta(costs.saved_route_usd, before?.costs.saved_route_usd, { ...against, better: 'more' }),
    }) : null,
    tile('overhead', 'Our own overhead, median', {
      value: ms(figures.overhead_ms?.p50), raw: figures.overhead_ms?.p50, parts: times(figures.overhead_ms || {}),
      moved: delta(figures.overhead_ms?.p50, before?.overhead_ms?.p50, { ...against, better: 'less' }), line: line((point) => point.overhead_p50_ms),
    }),
  ]);
}
