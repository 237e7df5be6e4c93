// Small drawings: sparklines, stacked bars, lines; with a cross-hair for the pointer and for the arrow keys.

import { h, s, patch } from './dom.js';
import { axisTime, dateTime, isKnown } from './format.js';

const HEIGHT = 200;
const LEFT = 54;
const BOTTOM = 22;
const TOP = 8;

/** A line that says only how it went. */
export function spark(values, label) {
  const known = values.filter(isKnown);
  if (known.length < 2) return h('div', { class: 'spark' });
  const low = Math.min(0, ...known);
  const high = Math.max(...known) || 1;
  const x = (place) => ((place / (values.length - 1)) * 100).toFixed(2);
  const y = (value) => (27 - ((value - low) / (high - low || 1)) * 24).toFixed(2);
  const runs = segments(values);
  const line = runs.map((run) => run.map(([place, value], step) => `${step ? 'L' : 'M'}${x(place)} ${y(value)}`).join('')).join('');
  const area = runs.map((run) => `M${x(run[0][0])} 28${run.map(([place, value]) => `L${x(place)} ${y(value)}`).join('')}L${x(run.at(-1)[0])} 28Z`).join('');
  return h('div', { class: 'spark' }, s('svg', { viewBox: '0 0 100 28', preserveAspectRatio: 'none', 'aria-hidden': 'true', 'data-label': label },
    s('path', { class: 'area', d: area }), s('path', { class: 'line', d: line, 'vector-effect': 'non-scaling-stroke' })));
}

function segments(values) {
  const runs = [];
  let run = null;
  values.forEach((value, place) => {
    if (!isKnown(value)) { run = null; return; }
    if (!run) runs.push(run = []);
    run.push([place, value]);
  });
  return runs;
}

/** Round steps of a scale: 1, 2 or 5 times a power of ten. */
export function ticks(high, wanted = 3) {
  if (!(high > 0)) return [0, 1];
  const rough = high / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough - 1e-12);
  const found = [];
  for (let value = 0; value < high + step * 0.999; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

/** A chart over time that redraws itself when its width changes. */
export class Chart {
  constructor({ kind, series, format, mark, label }) {
    this.kind = kind;
    this.series = series;
    this.format = format;
    this.markOf = mark || format;
    this.at = null;
    this.points = [];
    this.plot = h('div', { class: 'plot', tabindex: '0', role: 'img', 'aria-label': label });
    this.tip = h('div', { class: 'tip', hidden: true, role: 'status' });
    this.legend = h('ul', { class: 'legend' }, series.map((one) => h('li', {}, h('i', { class: `swatch ${one.tone}` }), one.name)));
    this.element = h('div', { class: 'chart', 'data-own': true }, this.legend, this.plot, this.tip);
    this.label = label;
    new ResizeObserver(() => this.draw()).observe(this.plot);
    this.plot.addEventListener('pointermove', (event) => this.point(event.clientX - this.plot.getBoundingClientRect().left));
    for (const name of ['pointerleave', 'blur']) this.plot.addEventListener(name, () => this.mark(null));
    this.plot.addEventListener('keydown', (event) => this.key(event));
  }

  set(points, window, summary) {
    this.points = points;
    this.window = window;
    this.plot.setAttribute('aria-label', `${this.label}: ${summary}`);
    if (this.at !== null && this.at >= points.length) this.at = points.length - 1;
    this.draw();
  }

  get inner() { return Math.max(10, this.width - LEFT - 4); }

  x(place) {
    return this.kind === 'bars'
      ? LEFT + ((place + 0.5) / this.points.length) * this.inner
      : LEFT + (place / Math.max(1, this.points.length - 1)) * this.inner;
  }

  y(value) { return TOP + (1 - value / this.high) * (HEIGHT - TOP - BOTTOM); }

  draw() {
    this.width = this.plot.clientWidth;
    if (!this.width || !this.points.length) return;
    const totals = this.points.map((point) => {
      const values = this.series.map((one) => point[one.field] || 0);
      return this.kind === 'bars' ? values.reduce((sum, one) => sum + one, 0) : Math.max(...values);
    });
    const marks = ticks(Math.max(...totals));
    this.high = marks.at(-1);
    patch(this.plot, [s('svg', { width: this.width, height: HEIGHT, 'aria-hidden': 'true' },
      marks.map((value) => s('g', { class: 'scale' },
        s('line', { x1: LEFT, x2: this.width, y1: this.y(value), y2: this.y(value) }),
        s('text', { x: LEFT - 8, y: this.y(value) + 4, 'text-anchor': 'end' }, this.markOf(value)))),
      this.times(),
      this.kind === 'bars' ? this.bars() : this.lines(),
      this.at === null ? null : s('line', { class: 'hair', x1: this.x(this.at), x2: this.x(this.at), y1: TOP, y2: HEIGHT - BOTTOM }))]);
    this.tell();
  }

  times() {
    const count = Math.max(2, Math.min(6, Math.floor(this.inner / 90)));
    return [...Array(count).keys()].map((step) => {
      const place = Math.round((step / (count - 1)) * (this.points.length - 1));
      const anchor = step === 0 ? 'start' : step === count - 1 ? 'end' : 'middle';
      return s('text', { class: 'time', x: this.x(place), y: HEIGHT - 5, 'text-anchor': anchor }, axisTime(this.points[place].at, this.window));
    });
  }

  bars() {
    const width = Math.max(1, this.inner / this.points.length - 1.5);
    return this.points.map((point, place) => {
      let base = 0;
      return this.series.map((one) => {
        const value = point[one.field] || 0;
        if (!value) return null;
        const top = this.y(base + value);
        const height = Math.max(1, this.y(base) - top);
        base += value;
        return s('rect', { class: one.tone, x: (this.x(place) - width / 2).toFixed(1), y: top.toFixed(1), width: width.toFixed(1), height: height.toFixed(1), rx: Math.min(1.5, width / 3).toFixed(1) });
      });
    });
  }

  lines() {
    return this.series.map((one) => segments(this.points.map((point) => point[one.field])).map((run) => (run.length === 1
      ? s('circle', { class: one.tone, cx: this.x(run[0][0]), cy: this.y(run[0][1]), r: 2.5 })
      : s('path', { class: `line ${one.tone}`, d: run.map(([place, value], step) => `${step ? 'L' : 'M'}${this.x(place).toFixed(1)} ${this.y(value).toFixed(1)}`).join('') }))));
  }

  point(left) {
    if (!this.points.length) return;
    const share = (left - LEFT) / this.inner;
    const place = this.kind === 'bars' ? Math.floor(share * this.points.length) : Math.round(share * (this.points.length - 1));
    this.mark(Math.max(0, Math.min(this.points.length - 1, place)));
  }

  key(event) {
    const last = this.points.length - 1;
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key in moves) this.mark(Math.max(0, Math.min(last, (this.at ?? last + (moves[event.key] > 0 ? 0 : 1)) + moves[event.key])));
    else if (event.key === 'Home') this.mark(0);
    else if (event.key === 'End') this.mark(last);
    else if (event.key === 'Escape') this.mark(null);
    else return;
    event.preventDefault();
  }

  mark(place) {
    if (place === this.at) return;
    this.at = place;
    this.draw();
  }

  tell() {
    const point = this.at === null ? null : this.points[this.at];
    this.tip.hidden = !point;
    if (!point) return;
    patch(this.tip, [h('strong', {}, dateTime(point.at)), this.series.map((one) => h('div', {}, h('i', { class: `swatch ${one.tone}` }), one.name, h('b', {}, this.format(point[one.field]))))]);
    const left = Math.max(0, Math.min(this.x(this.at) + 12, this.width - this.tip.offsetWidth));
    const flipped = this.x(this.at) - this.tip.offsetWidth - 12;
    this.tip.style.left = `${this.x(this.at) + 12 + this.tip.offsetWidth > this.width && flipped > 0 ? flipped : left}px`;
  }
}
