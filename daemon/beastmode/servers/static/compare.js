// Models side by side: what each says to the same prompt as it comes, how long it took and what it cost.

import { h, patch } from './dom.js';
import { count, isKnown, ms, usd } from './format.js';

const WORDS = { waiting: 'waiting', answering: 'answering', done: 'done', failed: 'failed', stopped: 'stopped' };
const TONES = { done: 'good', failed: 'bad', stopped: 'warn' };
const fact = (name, text, value) => h('div', {}, h('dt', {}, name), h('dd', { class: isKnown(value) ? '' : 'unknown' }, text));

function column(one) {
  const over = one.state === 'done';
  return h('article', { class: 'contender', 'data-key': one.model, 'data-contender': one.model, 'data-state': one.state },
    h('header', {}, h('h3', {}, one.model), h('span', { class: `badge ${TONES[one.state] || ''}` }, WORDS[one.state])),
    one.error ? h('p', { class: 'cause' }, one.error) : h('pre', { class: 'spoken', tabindex: '0', 'aria-label': `answer of ${one.model}` }, one.text || ' '),
    over ? h('dl', { class: 'facts' }, fact('Latency', ms(one.latency_ms), one.latency_ms), fact('First token', ms(one.ttft_ms), one.ttft_ms),
      fact('Tokens in', count(one.prompt_tokens), one.prompt_tokens), fact('Tokens out', count(one.completion_tokens), one.completion_tokens), fact('Cost', usd(one.cost_usd), one.cost_usd)) : null,
    h('p', { class: 'faint' }, `${count(one.answered)} answered${one.failed ? `, ${count(one.failed)} failed` : ''} · ${usd(one.total_usd)} in all${one.unknown ? ` and ${count(one.unknown)} of unknown cost` : ''}`));
}

/** Draws the comparison that runs or ran last; without one there is no panel. */
export function compare({ compare: now }) {
  const panel = document.querySelector('#compare');
  panel.hidden = !now;
  if (!now) return;
  patch(panel.querySelector('.body'), [
    h('p', { class: 'faint', 'data-place': `${now.place}/${now.prompts}` }, `${now.running ? 'Running' : 'Over'}: prompt ${count(now.place)} of ${count(now.prompts)}`),
    h('blockquote', { class: 'asked' }, now.prompt),
    h('div', { class: 'contenders' }, now.models.map(column))]);
}
