// The page as a whole: what it knows, when it draws, and what its buttons do.

import { h, patch } from './dom.js';
import { count, ms, msMark, span } from './format.js';
import { bind, toQuery } from './view.js';
import { call, Live } from './live.js';
import { Chart } from './charts.js';
import { tiles } from './tiles.js';
import { errors, feed, health, models } from './lists.js';
import { cache, costs } from './money.js';
import { compare } from './compare.js';
import { Drawer } from './drawer.js';

const state = { view: null, tests: {}, costKey: 'model', rejected: new Set(), fresh: new Set(), paused: false };
const waiting = new Set();
const seen = new Set();

const requestsChart = new Chart({
  kind: 'bars', format: count, label: 'Requests over time',
  series: [{ field: 'success', name: 'Success', tone: 'one' }, { field: 'failure', name: 'Failure', tone: 'bad' },
    { field: 'refused', name: 'Refused', tone: 'warn' }, { field: 'cancelled', name: 'Cancelled', tone: 'dim' }],
});
const latencyChart = new Chart({
  kind: 'lines', format: ms, mark: msMark, label: 'Latency over time',
  series: [{ field: 'p50_ms', name: 'Median', tone: 'one' }, { field: 'p95_ms', name: '95 of 100', tone: 'two' }],
});
document.querySelector('#requests .body').append(requestsChart.element);
document.querySelector('#latency .body').append(latencyChart.element);

function charts() {
  const { trend, figures } = state;
  if (!trend) return;
  const points = trend.series.points;
  requestsChart.set(points, trend.window, figures ? `${count(figures.requests.total)} requests` : '');
  latencyChart.set(points, trend.window, figures ? `median ${ms(figures.latency_ms.p50)}` : '');
}

function choices() {
  if (state.choices) filters.offer(state.choices);
}

function foot() {
  const { daemon } = state;
  if (daemon) patch(document.querySelector('#foot'), [`BEAST MODE ${daemon.version} · process ${daemon.pid} · up ${span(Date.now() / 1000 - daemon.started_at_s)}`]);
}

const PANELS = {
  figures: [tiles, errors, charts], trend: [tiles, charts], daemon: [tiles, foot], health: [health, models], models: [models], cost_model: [costs, models], cost_project: [costs], cost_user: [costs], cost_session: [costs],
  feed: [feed], errors: [errors], cache: [cache], choices: [choices], tests: [models], costKey: [costs], rejected: [cache], compare: [compare],
};

function changed(...names) {
  if (!waiting.size) requestAnimationFrame(draw);
  for (const name of names) waiting.add(name);
}

function draw() {
  const panels = new Set([...waiting].flatMap((name) => PANELS[name] || []));
  waiting.clear();
  for (const panel of panels) panel(state);
  document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn || 0) + 1);
}

/** Takes over what came; rows that were not there before are marked for a moment. */
function take(frame) {
  if (frame.feed) {
    const first = !seen.size;
    state.fresh = new Set(first ? [] : frame.feed.map((row) => row.request_id).filter((id) => !seen.has(id)));
    for (const row of frame.feed) seen.add(row.request_id);
    if (seen.size > 500) { seen.clear(); for (const row of frame.feed) seen.add(row.request_id); }
  }
  Object.assign(state, frame);
  changed(...Object.keys(frame));
}

let held = {};
const live = new Live({
  onParts(frame) {
    if (state.paused) held = { ...held, ...frame };
    else take(frame);
  },
  onState: pulse,
});

const WORDS = { connecting: 'connecting', live: 'live', away: 'no connection: trying again', out: 'signed out: run beast dashboard' };

function pulse(now, age) {
  const shown = state.paused && now === 'live' ? 'paused' : WORDS[now];
  const old = age === null ? '' : now === 'live' ? `${age < 1.5 ? 'just now' : `${span(age)} ago`}` : `figures are ${span(age)} old`;
  document.body.dataset.link = now;
  patch(document.querySelector('#pulse'), [
    h('span', { class: `link ${state.paused ? 'paused' : now}` }, h('i', { class: 'dot', 'aria-hidden': 'true' }), shown), old ? h('span', { class: 'age' }, old) : null,
    h('button', { type: 'button', class: 'quiet', 'data-act': 'pause', 'aria-pressed': String(state.paused) }, state.paused ? 'Go on' : 'Pause')]);
}

const filters = bind(document.querySelector('#filters'), (view) => {
  state.view = view;
  seen.clear();
  live.open(toQuery(view));
});
state.view = filters.current;

const drawer = new Drawer(document.querySelector('#drawer'), { say, reject });

let quietTimer = 0;
function say(text, bad = false) {
  const said = document.querySelector('#said');
  said.textContent = text;
  said.className = `said on${bad ? ' bad' : ''}`;
  clearTimeout(quietTimer);
  quietTimer = setTimeout(() => { said.className = 'said'; }, 5000);
}

const wrong = (error) => say([error.message, ...(error.tips || [])].join(' — '), true);

async function test(id) {
  state.tests[id] = { id, running: true };
  changed('tests');
  try {
    state.tests[id] = { id, ...(await call('models.test', { id })) };
  } catch (error) {
    state.tests[id] = { id, ok: false, message: error.message, tips: error.tips, steps: [] };
  }
  changed('tests');
}

async function reject(params) {
  try {
    const done = await call('cache.reject', params);
    if (done.entry) state.rejected.add(done.entry);
    changed('rejected');
    say(done.rejected === 'pair' ? 'This pair of questions will not be matched again.' : 'The answer was removed from every tier.');
    return true;
  } catch (error) {
    wrong(error);
    return false;
  }
}

const ACTS = {
  request: ({ id }) => drawer.open(id),
  test: ({ id }) => test(id),
  'cost-key': ({ id }) => { state.costKey = id; changed('costKey'); },
  reject: ({ entry }) => reject({ entry }),
  pause() {
    state.paused = !state.paused;
    if (!state.paused) { take(held); held = {}; }
    pulse(live.state, live.age);
  },
  async copy({ text }) {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${text}`);
  },
};

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (button && ACTS[button.dataset.act]) Promise.resolve(ACTS[button.dataset.act](button.dataset)).catch(wrong);
});

document.addEventListener('keydown', (event) => {
  const tab = event.target.closest?.('[role=tab]');
  if (!tab || !['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
  const tabs = [...tab.parentElement.children];
  const next = tabs[(tabs.indexOf(tab) + (event.key === 'ArrowRight' ? 1 : -1) + tabs.length) % tabs.length];
  next.focus();
  next.click();
});

live.open(toQuery(filters.current));
