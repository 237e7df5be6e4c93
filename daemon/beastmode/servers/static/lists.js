// Health, the models, the latest requests, the errors: lists that say what is and what to do.

import { command, h, show } from './dom.js';
import { ago, clock, count, isKnown, ms, percent, usd } from './format.js';

const STATES = { healthy: 'good', ok: 'good', ready: 'good', degraded: 'warn', cooling: 'warn' };
const tone = (state) => STATES[state] || 'bad';
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const unknownOr = (text, value) => h('span', { class: isKnown(value) ? '' : 'unknown' }, text);

/** A tip; what looks like a command can be copied. */
export function tip(text) {
  const found = /^(?:.*?: )?(beast [a-z].*)$/.exec(text);
  return found && found[1] === text ? command(text) : h('span', {}, text);
}

/** The daemon's own parts, each with how it is. */
function inside(now) {
  const parts = Object.entries(now.parts || {});
  const well = parts.filter(([, state]) => state === 'ok').length;
  return h('details', {}, h('summary', {}, `The daemon itself: ${well} of ${parts.length} parts are well`),
    h('ul', { class: 'chips' }, parts.map(([name, state]) => h('li', { 'data-key': name }, h('span', { class: `badge ${tone(state)}` }, name, state === 'ok' ? '' : `: ${state}`)))),
    h('p', { class: 'faint' }, `Event loop late by ${isKnown(now.loop_lag_ms) ? `under ${now.loop_lag_ms} ms` : 'an unknown time'} in 99 of 100 looks · ${isKnown(now.disk_free_gb) ? `${count(now.disk_free_gb)} GB` : 'an unknown part'} of the disk free`));
}

/** Draws the health line and every cause below it. */
export function health({ health: now }) {
  if (!now) return;
  show('health', h('div', { class: `state ${tone(now.status)}`, 'data-status': now.status },
    h('p', { class: 'sum' }, h('i', { class: 'dot', 'aria-hidden': 'true' }), h('strong', {}, capital(now.status)), ' ', h('span', {}, now.why)),
    now.issues.length ? h('ul', {}, now.issues.map((issue) => h('li', { 'data-key': `${issue.part} ${issue.cause}` },
      h('span', { class: `badge ${issue.state === 'failed' ? 'bad' : 'warn'}` }, issue.part), h('span', { class: 'cause' }, issue.cause),
      issue.tip ? h('span', { class: 'tips' }, tip(issue.tip)) : null))) : null, inside(now)));
}

function worst(model, judged) {
  const states = model.deployments.map((one) => one.state);
  if (!states.length) return ['missing', 'it has no deployment'];
  if (judged && judged.status !== 'healthy' && states.includes('ready')) return [judged.status, judged.why];
  if (states.every((one) => one === 'ready')) return ['ready', ''];
  const bad = model.deployments.find((one) => one.state !== 'ready');
  return [states.includes('ready') ? 'degraded' : bad.state, bad.cause || ''];
}

const priceOf = (model) => {
  const price = model.deployments.find((one) => one.price)?.price;
  return price && isKnown(price.prompt) ? `${usd(price.prompt)} / ${usd(price.completion)} per million` : '';
};

function verdict(test, columns) {
  if (!test) return null;
  const text = test.running ? 'Testing …' : test.ok ? `Works: ${test.steps.length} steps in ${ms(test.latency_ms)}` : test.message;
  return h('tr', { class: 'verdict', 'data-key': `test ${test.id}` }, h('td', { colspan: columns },
    h('div', { class: test.running ? '' : test.ok ? 'good' : 'bad', role: 'status', 'data-verdict': test.running ? 'running' : test.ok ? 'ok' : 'failed' },
      h('strong', {}, text),
      test.steps?.length ? h('ol', { class: 'steps' }, test.steps.map((step) => h('li', { class: step.ok ? 'good' : 'bad' }, step.name || step.step || '', step.detail ? `: ${step.detail}` : ''))) : null,
      test.tips?.length ? h('p', { class: 'tips' }, test.tips.map(tip)) : null)));
}

/** Draws the models: those that are registered, and others that answered in this window. */
export function models({ models: registered, cost_model: costs, tests, health: judgements }) {
  if (!registered) return;
  const rows = new Map((costs?.rows || []).map((row) => [row.key, row]));
  const total = costs?.total?.requests || 0;
  const ids = [...new Set([...registered.map((one) => one.id), ...rows.keys()])].filter(Boolean);
  if (!ids.length) {
    show('models', h('p', { class: 'empty' }, 'No model is registered yet. A provider of yours: ', command('beast models add openai:gpt-4o'),
      ' Servers that already run on this machine: ', command('beast models discover')));
    return;
  }
  ids.sort((one, other) => (rows.get(other)?.requests || 0) - (rows.get(one)?.requests || 0) || one.localeCompare(other));
  show('models', h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Models' }, h('table', {},
    h('thead', {}, h('tr', {}, ['Model', 'State', 'Share', 'Requests', 'Success', 'Mean latency', 'Cost', ''].map((name, place) => h('th', { scope: 'col', class: place > 2 ? 'number' : '' }, name || h('span', { class: 'unseen' }, 'Test'))))),
    h('tbody', {}, ids.flatMap((id) => {
      const model = registered.find((one) => one.id === id);
      const row = rows.get(id);
      const [state, cause] = model ? worst(model, judgements?.models?.[id]) : ['not registered', ''];
      const part = total ? (row?.requests || 0) / total : null;
      const judged = (row?.success || 0) + (row?.failure || 0);
      return [h('tr', { 'data-key': id, 'data-model': id },
        h('th', { scope: 'row' }, id, model && priceOf(model) ? h('small', {}, priceOf(model)) : null),
        h('td', {}, h('span', { class: `badge ${state === 'not registered' ? '' : tone(state)}`, title: cause }, state.replace('_', ' ')), cause ? h('small', {}, cause) : null),
        h('td', {}, h('span', { class: 'share' }, h('meter', { min: 0, max: 1, value: part || 0, 'aria-label': `share of ${id}` }), percent(part, 0))),
        h('td', { class: 'number' }, count(row?.requests || 0)),
        h('td', { class: 'number' }, judged ? percent(row.success / judged) : '–'),
        h('td', { class: 'number' }, row?.requests ? unknownOr(ms(row.latency_ms), row.latency_ms) : '–'),
        h('td', { class: 'number' }, row ? unknownOr(usd(row.cost_usd), row.cost_usd) : '$0'),
        h('td', { class: 'number' }, model ? h('button', { type: 'button', 'data-act': 'test', 'data-id': id, 'aria-label': `Test ${id}`, disabled: tests[id]?.running }, 'Test') : null)),
      verdict(tests[id], 8)];
    })))));
}

const RESULTS = { hit_exact: 'exact', hit_semantic: 'meaning', miss: 'miss', bypass: 'bypass', stale: 'stale' };
const OUTCOMES = { success: 'good', failure: 'bad', refused: 'warn', cancelled: '' };

/** The cache's part of a row as a small label. */
export function cacheLabel(cache) {
  const result = cache?.result;
  if (!result) return h('span', { class: 'badge' }, 'not asked');
  const hit = result.startsWith('hit');
  return h('span', { class: `badge ${hit ? 'accent' : ''}` }, RESULTS[result] || result, hit && cache.tier ? ` ${cache.tier}` : '');
}

/** Draws the newest requests. */
export function feed({ feed: rows, fresh }) {
  if (!rows) return;
  if (!rows.length) {
    show('feed', h('p', { class: 'empty' }, 'No request yet that fits. The first one: ', command('beast ask "What does EAGAIN mean?"')));
    return;
  }
  show('feed', h('ol', { class: 'feed' }, rows.map((row) => h('li', { 'data-key': row.request_id, class: fresh.has(row.request_id) ? 'fresh' : '' },
    h('button', { type: 'button', class: 'row', 'data-act': 'request', 'data-id': row.request_id },
      h('i', { class: `dot ${OUTCOMES[row.outcome]}`, 'aria-hidden': 'true' }),
      h('time', { datetime: row.at }, clock(row.at)),
      h('span', { class: 'name' }, row.model_served || row.model, h('small', {}, row.outcome === 'success' ? row.client : `${row.outcome}: ${(row.error_kind || 'unknown').replaceAll('_', ' ')}`)),
      cacheLabel(row.cache),
      h('span', { class: 'number' }, unknownOr(ms(row.latency_ms), row.latency_ms)),
      h('span', { class: 'number' }, unknownOr(usd(row.cost_usd), row.cost_usd)))))));
}

/** Draws the errors of the window, by cause. */
export function errors({ errors: groups, figures }) {
  if (!groups) return;
  if (!groups.length) {
    show('errors', h('p', { class: 'empty' }, figures?.requests.total ? 'Nothing failed in this time. Older ones: ' : 'Nothing failed: nothing was asked. Older ones: ', command('beast errors')));
    return;
  }
  show('errors', h('ul', { class: 'errors' }, groups.map((group) => h('li', { 'data-key': `${group.kind} ${group.model}`, 'data-error': group.kind },
    h('div', { class: 'head' }, h('strong', {}, capital((group.kind || 'unknown').replaceAll('_', ' '))), h('span', { class: 'badge bad number' }, `${count(group.count)}×`),
      h('button', { type: 'button', class: 'quiet', 'data-act': 'request', 'data-id': group.request_id, 'aria-label': `Newest ${group.kind} of ${group.model}` }, 'Newest')),
    h('p', { class: 'faint' }, group.model || 'no model', ' · ', ago(group.last_at)),
    group.tip ? h('p', { class: 'cause' }, group.tip) : null))));
}
