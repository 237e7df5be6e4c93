// One request in full: its steps in time, why this model, what the cache decided and beside what, and how its cost adds up.

import { command, h, patch } from './dom.js';
import { ago, count, dateTime, isKnown, ms, usd, UNKNOWN } from './format.js';
import { call } from './live.js';
import { cacheLabel, tip } from './lists.js';

const TONES = { success: 'good', failure: 'bad', refused: 'warn', cancelled: '' };
const RATE = (usdPerMillion) => `${usd(usdPerMillion)} per million`;
const facts = (pairs) => h('dl', { class: 'facts' }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== '')
  .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', { class: value === UNKNOWN ? 'unknown' : '' }, value))));
const part = (name, id, ...children) => h('section', { 'data-part': id }, h('h3', {}, name), children);

/** What happened when, as far as the row knows it. */
function steps(row) {
  if (!isKnown(row.latency_ms)) return [];
  const hit = row.cache?.result?.startsWith('hit');
  const found = [];
  const overhead = isKnown(row.overhead_ms) ? Math.min(row.overhead_ms, row.latency_ms) : null;
  if (hit) {
    const what = { flight: 'waited for an identical request', L1: 'found in memory', L2: 'found on disk', L3: 'found in the shared tier' }[row.cache.tier] || 'found in the cache';
    found.push({ name: row.cache.result === 'hit_semantic' ? `${what}, by meaning` : what, from: 0, to: row.latency_ms, tone: 'accent' });
  } else if (row.attempts) {
    const ours = overhead ?? 0;
    const first = isKnown(row.ttft_ms) ? Math.min(row.ttft_ms, row.latency_ms) : null;
    if (overhead !== null) found.push({ name: 'ours: look-up, route, record', from: 0, to: ours, tone: 'dim' });
    const called = `${row.attempts === 1 ? 'the model' : `the models, ${row.attempts} calls`}`;
    if (first !== null && first > ours) {
      found.push({ name: `${called}: to the first token`, from: ours, to: first, tone: 'one' }, { name: 'the rest of the answer', from: first, to: row.latency_ms, tone: 'two' });
    } else {
      found.push({ name: called, from: ours, to: row.latency_ms, tone: row.outcome === 'success' ? 'one' : 'bad' });
    }
  } else {
    found.push({ name: 'ended without a call', from: 0, to: row.latency_ms, tone: 'warn' });
  }
  return found;
}

function timeline(row) {
  const found = steps(row);
  if (!found.length) return h('p', { class: 'unknown' }, UNKNOWN);
  const bar = (step) => {
    const lane = h('span', { class: 'lane' }, h('i', { class: step.tone }));
    lane.firstChild.style.marginLeft = `${(step.from / row.latency_ms) * 100}%`;
    lane.firstChild.style.width = `${Math.max(0.5, ((step.to - step.from) / row.latency_ms) * 100)}%`;
    return lane;
  };
  return h('ol', { class: 'timeline' }, found.map((step) => h('li', {}, h('span', {}, step.name), bar(step), h('span', { class: 'number' }, ms(step.to - step.from)))),
    h('li', { class: 'sum' }, h('span', {}, 'in all'), h('span', {}), h('span', { class: 'number' }, ms(row.latency_ms))));
}

function neighbours(found) {
  if (!found?.length) return null;
  return h('ul', { class: 'neighbours' }, found.map((one) => h('li', {},
    h('p', {}, one.text),
    h('p', { class: 'faint' }, `similarity ${one.similarity.toFixed(3)}`, isKnown(one.confidence) ? ` · confidence ${one.confidence.toFixed(3)}` : '', one.veto ? ` · stopped by ${one.veto}` : '', one.denied ? ' · you said: not the same' : ''),
    one.differs?.length ? h('p', { class: 'faint' }, 'differs: ', one.differs.map(([mine, theirs]) => `${mine || '–'} / ${theirs || '–'}`).join(', ')) : null)));
}

function cacheOf(row, why, rejected) {
  const hit = row.cache?.result?.startsWith('hit');
  return part('Cache', 'cache',
    h('p', {}, cacheLabel(row.cache), ' ', row.cache?.result ? why?.why || '' : ''),
    facts([['Similarity', isKnown(row.similarity) ? row.similarity.toFixed(3) : null], ['Confidence', isKnown(row.confidence) ? `${row.confidence.toFixed(3)}${isKnown(why?.threshold) ? `, needed ${why.threshold.toFixed(3)}` : ''}` : null],
      [hit ? 'Answered with' : 'Stored as', why?.entry ? why.entry.text || 'a conversation' : null], ['Stored', why?.entry?.stored_at ? ago(why.entry.stored_at) : null], ['Given by', hit && why?.entry ? why.entry.model : null]]),
    why?.neighbours?.length ? h('h4', {}, 'Stored questions near it') : null, neighbours(why?.neighbours),
    hit ? (rejected ? h('p', { class: 'faint' }, 'Rejected: it will not be served for this again.') : h('button', { type: 'button', class: 'danger', 'data-drawer': 'reject' }, 'Wrong answer')) : null);
}

function costOf(row, why) {
  const sum = why?.arithmetic;
  const used = row.usage || {};
  const lines = sum?.parts?.map((one) => [one.what, one.amount, one.rate_usd, one.usd, one.per]) ?? null;
  return part('Cost', 'cost',
    lines?.length ? h('table', { class: 'sum' }, h('tbody', {}, lines.map(([what, amount, rate, product, per]) => h('tr', {},
      h('th', { scope: 'row' }, what), h('td', { class: 'number' }, count(amount)), h('td', { class: 'number' }, `× ${isKnown(rate) ? (per === 1 ? usd(rate) : RATE(rate)) : UNKNOWN}`), h('td', { class: 'number' }, usd(product)))),
    Math.abs(sum.rest_usd) > 1e-9 ? h('tr', {}, h('th', { scope: 'row' }, 'other: time, or an hour of cache'), h('td'), h('td'), h('td', { class: 'number' }, usd(sum.rest_usd))) : null,
    h('tr', { class: 'sum' }, h('th', { scope: 'row' }, 'Cost'), h('td'), h('td'), h('td', { class: 'number' }, usd(row.cost_usd)))))
      : h('p', {}, h('strong', { class: isKnown(row.cost_usd) ? '' : 'unknown' }, usd(row.cost_usd)), row.cache?.result?.startsWith('hit') ? ' — a stored answer costs nothing' : isKnown(row.cost_usd) ? '' : ' — the tokens or the price are not known'),
    row.cost_lines?.length ? h('ul', { class: 'lines', 'data-lines': '' }, row.cost_lines.map((line) => h('li', {}, line.text))) : null,
    facts([['Price from', sum ? [sum.source, ...sum.terms].join('; ') : row.price_source], ['Prompt tokens', count(used.prompt_tokens)], ['of them cached', isKnown(used.cached_tokens) ? count(used.cached_tokens) : null],
      ['of them written to the cache', isKnown(used.cache_write_tokens) ? count(used.cache_write_tokens) : null], ['Completion tokens', count(used.completion_tokens)],
      ['of them reasoning', isKnown(used.reasoning_tokens) ? count(used.reasoning_tokens) : null], ['Saved by the cache', isKnown(row.saved_usd) ? usd(row.saved_usd) : UNKNOWN], ['Saved by routing', isKnown(row.saved_route_usd) ? usd(row.saved_route_usd) : null]]));
}

/** What was said, where the user keeps that. */
function contentOf({ content }) {
  if (!content) return null;
  return part('What was said', 'content', h('h4', {}, 'Prompt'), h('pre', { class: 'spoken', tabindex: '0', 'aria-label': 'prompt' }, content.prompt),
    h('h4', {}, 'Answer'), content.answer === null ? h('p', { class: 'faint' }, 'There was none.') : h('pre', { class: 'spoken', tabindex: '0', 'aria-label': 'answer' }, content.answer));
}

function whole(row, why, rejected) {
  return [
    h('header', {}, h('div', {}, h('h2', { id: 'drawer-head', tabindex: '-1' }, row.model_served || row.model), h('p', { class: 'faint' }, dateTime(row.at), ' · ', ago(row.at))),
      h('button', { type: 'button', class: 'quiet', 'data-drawer': 'close', 'aria-label': 'Close' }, 'Close')),
    h('p', {}, h('span', { class: `badge ${TONES[row.outcome]}` }, row.outcome), ' ', row.error_kind ? row.error_kind.replaceAll('_', ' ') : '', row.stream ? ' streamed' : ''),
    row.error_tip ? h('p', { class: 'cause' }, tip(row.error_tip)) : null,
    part('Steps in time', 'steps', timeline(row)),
    part('Why this model', 'route', h('p', {}, row.route || (row.cache?.result?.startsWith('hit') ? 'No model was called: the answer was stored.' : 'No model was chosen.')),
      facts([['Asked for', row.model], ['Answered by', row.model_served], ['Deployment', row.deployment], ['Calls', row.attempts ? count(row.attempts) : null], ['Fell back', row.fell_back ? 'yes' : null]])),
    contentOf(row),
    cacheOf(row, why, rejected),
    costOf(row, why),
    part('Who asked', 'who', facts([['User', row.user], ['Client', row.client], ['Project', row.workspace], ['Session', row.session_id], ['Tags', row.tags?.join(', ')], ['Origin', row.origin], ['Request', row.request_id]]),
      command(`beast requests show ${row.request_id}`)),
  ];
}

export class Drawer {
  constructor(dialog, { say, reject }) {
    this.dialog = dialog;
    this.body = dialog.querySelector('.body');
    this.say = say;
    dialog.addEventListener('click', async (event) => {
      const act = event.target.closest('[data-drawer]')?.dataset.drawer;
      if (act === 'close' || event.target === dialog) dialog.close();
      if (act === 'reject' && await reject({ request_id: this.id })) this.draw(true);
    });
    dialog.addEventListener('close', () => { this.id = null; });
  }

  async open(id) {
    this.id = id;
    this.row = this.why = null;
    patch(this.body, [h('p', { class: 'faint' }, 'Loading …')]);
    if (!this.dialog.open) this.dialog.showModal();
    try {
      this.row = await call('requests.get', { request_id: id });
    } catch (error) {
      patch(this.body, [h('h2', { id: 'drawer-head' }, 'Not found'), h('p', {}, error.message), h('button', { type: 'button', 'data-drawer': 'close' }, 'Close')]);
      return;
    }
    if (this.id !== id) return;
    this.draw(false);
    this.body.querySelector('#drawer-head').focus();
    try {
      this.why = await call('requests.explain', { request_id: id });
    } catch {
      this.why = null; // what the row says is enough
    }
    if (this.id === id) this.draw(false);
  }

  draw(rejected) {
    const held = this.body.contains(document.activeElement); // what held the focus is made anew
    this.body.replaceChildren(...whole(this.row, this.why, rejected).filter(Boolean));
    if (rejected || held) this.body.querySelector('#drawer-head').focus();
  }
}
