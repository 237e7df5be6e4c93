// Costs by what caused them, and what the cache holds.

import { command, h, show } from './dom.js';
import { bytes, count, isKnown, percent, usd } from './format.js';

const KEYS = [['model', 'Model'], ['project', 'Project'], ['user', 'User'], ['session', 'Session']];
const NONE = { model: 'no model', project: 'no project', user: 'nobody named', session: 'no session' };

const ownOr = (text, value) => h('span', { class: isKnown(value) ? '' : 'unknown' }, text);
const tokens = (row, name) => ownOr(count(row.tokens?.[name]), row.tokens?.[name]);

/** Draws the table of costs by the dimension that is chosen. */
export function costs(state) {
  const { costKey } = state;
  const part = state[`cost_${costKey}`];
  if (!part) return;
  const most = Math.max(0, ...part.rows.map((row) => row.cost_usd || 0));
  const others = Object.entries(part.total.by_origin || {}).filter(([origin, one]) => origin !== 'person' && one.requests);
  show('costs',
    h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Costs by' }, KEYS.map(([key, name]) => h('button', {
      type: 'button', role: 'tab', id: `tab-${key}`, 'data-act': 'cost-key', 'data-id': key, 'data-key': key, 'aria-selected': String(key === costKey), 'aria-controls': 'cost-table', tabindex: key === costKey ? '0' : '-1' }, name))),
    h('div', { id: 'cost-table', role: 'tabpanel', 'aria-labelledby': `tab-${costKey}`, tabindex: '0', class: 'scroll' }, part.rows.length ? h('table', {},
      h('thead', {}, h('tr', {}, [KEYS.find(([key]) => key === costKey)[1], 'Requests', 'Tokens in', 'Tokens out', 'Cost', 'Saved'].map((name, place) => h('th', { scope: 'col', class: place ? 'number' : '' }, name)))),
      h('tbody', {}, part.rows.map((row) => h('tr', { 'data-key': String(row.key), 'data-cost': String(row.key) },
        h('th', { scope: 'row', class: 'long' }, row.key || h('span', { class: 'faint' }, NONE[costKey]), h('meter', { min: 0, max: most || 1, value: row.cost_usd || 0, 'aria-label': `cost of ${row.key || NONE[costKey]}` })),
        h('td', { class: 'number' }, count(row.requests)),
        h('td', { class: 'number' }, tokens(row, 'prompt_tokens')), h('td', { class: 'number' }, tokens(row, 'completion_tokens')),
        h('td', { class: 'number', 'data-value': row.cost_usd }, ownOr(usd(row.cost_usd), row.cost_usd), row.unknown ? h('small', {}, `+ ${count(row.unknown)} unknown`) : null),
        h('td', { class: 'number' }, ownOr(usd(row.saved_usd), row.saved_usd))))),
      h('tfoot', {}, h('tr', {}, h('th', { scope: 'row' }, 'All'), h('td', { class: 'number' }, count(part.total.requests)),
        h('td', { class: 'number' }, tokens(part.total, 'prompt_tokens')), h('td', { class: 'number' }, tokens(part.total, 'completion_tokens')),
        h('td', { class: 'number', 'data-total': part.total.cost_usd }, ownOr(usd(part.total.cost_usd), part.total.cost_usd)), h('td', { class: 'number' }, ownOr(usd(part.total.saved_usd), part.total.saved_usd)))))
      : h('p', { class: 'empty' }, costKey === 'session' ? 'No session in this time. One that remembers: ' : 'Nothing was asked in this time. A first question: ', command(costKey === 'session' ? 'beast chat' : 'beast ask "What does EAGAIN mean?"'))),
    part.left_out ? h('p', { class: 'faint' }, `${count(part.left_out)} more are not shown.`) : null,
    others.length ? h('p', { class: 'faint' }, 'Of this not asked by a person: ', others.map(([origin, one], place) => `${place ? ', ' : ''}${origin} ${usd(one.usd)} (${count(one.requests)})`)) : null);
}

const TIERS = [['l1', 'Memory', 'L1'], ['l2', 'Disk', 'L2'], ['l3', 'Shared', 'L3']];

function top(entries, rejected) {
  if (!entries?.length) {
    return h('p', { class: 'empty' }, 'No stored answer was served yet. Ask the same twice: ', command('beast ask "What does EAGAIN mean?"'));
  }
  return h('ol', { class: 'served' }, entries.map((entry) => h('li', { 'data-key': entry.entry, 'data-entry': entry.entry },
    h('span', { class: 'name' }, entry.text || h('span', { class: 'faint' }, 'a conversation'), h('small', {}, entry.model)),
    h('span', { class: 'number' }, `${count(entry.hits)}×`),
    rejected.has(entry.entry) ? h('span', { class: 'badge' }, 'removed')
      : h('button', { type: 'button', class: 'quiet', 'data-act': 'reject', 'data-entry': entry.entry, 'aria-label': `Wrong answer: ${entry.text}` }, 'Wrong answer'))));
}

function ahead(warming) {
  if (!warming) return null;
  if (!warming.enabled) return h('p', { class: 'faint', id: 'warming' }, 'Asked ahead: nothing, warming is switched off.');
  const used = isKnown(warming.precision) ? `${percent(warming.precision)} of ${count(warming.made)} answers used` : 'none made yet';
  const money = `${usd(warming.spent_usd)} of ${usd(warming.budget_usd)}`;
  return h('p', { class: 'faint', id: 'warming' }, `Asked ahead: ${count(warming.asked_today)} today for ${money}; ${used}${warming.throttled ? ', so less is asked' : ''}.`);
}

/** Draws what each tier holds, what the step by meaning decided, and the entries that answered most. */
export function cache({ cache: stats, rejected }) {
  if (!stats) return;
  const tiers = TIERS.filter(([name]) => stats[name]);
  const semantic = stats.semantic;
  show('cache', tiers.length ? h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Tiers' }, h('table', {},
    h('thead', {}, h('tr', {}, ['Tier', 'Answers', 'Size', 'Hits', 'Misses', 'Hit rate'].map((name, place) => h('th', { scope: 'col', class: place ? 'number' : '' }, name)))),
    h('tbody', {}, tiers.map(([name, label, short]) => {
      const tier = stats[name];
      const asked = tier.hits + tier.misses;
      return h('tr', { 'data-key': name, 'data-tier': name }, h('th', { scope: 'row' }, label, ' ', h('span', { class: 'faint' }, short)),
        h('td', { class: 'number' }, ownOr(count(tier.entries), tier.entries)), h('td', { class: 'number' }, ownOr(bytes(tier.bytes), tier.bytes)),
        h('td', { class: 'number' }, count(tier.hits)), h('td', { class: 'number' }, count(tier.misses)), h('td', { class: 'number' }, asked ? percent(tier.hits / asked) : '–'));
    })))) : h('p', { class: 'empty' }, 'Every tier is switched off. The settings: ', command('beast config get cache')),
  semantic ? h('p', { class: 'faint' }, semantic.ready ? `By meaning: on, with ${semantic.embedder}.` : `By meaning: not now, ${semantic.why_not.charAt(0).toLowerCase()}${semantic.why_not.slice(1).replace(/\.*$/, '')}.`) : h('p', { class: 'faint' }, 'By meaning: off, no embedder is installed. ', command('beast plugins')),
  ahead(stats.warming), h('h3', {}, 'Served most often'), top(stats.top, rejected));
}
