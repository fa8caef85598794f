// The heatmap: requests by duration, a column for each 10 s.

import { el, keyed, setAttribute, setText } from './dom.js';
import { clock, count, duration, none, share } from './format.js';
import { color, onTheme, watchSize } from './charts.js';

const steps = 6; // colours, --heat-1 to --heat-6
const height = 204;
const left = 62;
const bottom = 22;

export class Heatmap {
  #box;
  #canvas = el('canvas');
  #tip = el('div', { class: 'tip', hidden: true });
  #picture = el('div', { role: 'img', 'aria-label': 'Latency heatmap' });
  #width = 0;
  #view = null;

  // scale shows what the colours mean, rows gets the same as a table.
  constructor(box, scale, rows) {
    this.#box = box;
    this.scale = scale;
    this.rows = rows;
    this.#picture.append(this.#canvas);
    box.append(this.#picture, this.#tip);
    watchSize(box, (width) => { this.#width = width; this.redraw(); });
    onTheme(this);
    box.addEventListener('pointermove', (event) => this.#point(event));
    box.addEventListener('pointerleave', () => { this.#tip.hidden = true; });
  }

  // show takes the heatmap of an answer that arrived at the time `to`; its ages
  // are those of the beginnings of the columns.
  show([from, to], { bounds, age, every, counts }) {
    const columns = age.map((a, i) => ({ start: to - a, end: Math.min(to, to - a + every), counts: counts[i] })).filter(({ end }) => end > from);
    const sums = Array.from({ length: bounds.length + 1 }, (_, k) => columns.reduce((sum, c) => sum + c.counts[k], 0));
    const most = Math.max(0, ...columns.map((c) => Math.max(...c.counts)));
    this.#view = { from, to, bounds, columns, sums, most, ...shown(sums) };
    this.redraw();
    this.#describe();
  }

  redraw() {
    if (!this.#view || this.#width === 0) return;
    const context = this.#prepared();
    this.#drawScale();
    if (this.#view.most === 0) return this.#drawNothing(context);
    this.#drawCells(context);
    this.#drawAxes(context);
  }

  #prepared() {
    const ratio = window.devicePixelRatio || 1;
    this.#canvas.width = this.#width * ratio;
    this.#canvas.height = height * ratio;
    this.#canvas.style.width = `${this.#width}px`;
    this.#canvas.style.height = `${height}px`;
    const context = this.#canvas.getContext('2d');
    context.scale(ratio, ratio);
    return context;
  }

  #drawNothing(context) {
    context.font = '12px system-ui, sans-serif';
    context.fillStyle = color('muted');
    context.textAlign = 'center';
    context.fillText('No requests in this window', this.#width / 2, height / 2);
  }

  #drawCells(context) {
    const { columns, first, last, most } = this.#view;
    const rowHeight = this.#rowHeight();
    for (const { start, end, counts } of columns) {
      const x = Math.max(left, this.#x(start));
      const width = this.#x(end) - x;
      for (let k = first; k <= last; k++) {
        if (counts[k] === 0) continue;
        context.fillStyle = color(`heat-${step(counts[k], most)}`);
        context.fillRect(x, this.#y(k), Math.max(1, width - 1), Math.max(1, rowHeight - 1));
      }
    }
  }

  #drawAxes(context) {
    const { first, last, bounds, from, to } = this.#view;
    context.font = '11px system-ui, sans-serif';
    context.fillStyle = color('muted');
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    const skip = Math.ceil(16 / this.#rowHeight());
    for (let k = last - 1; k >= first; k -= skip) {
      context.fillText(duration(bounds[k]), left - 6, this.#y(k));
    }
    context.textAlign = 'center';
    const every = to - from <= 120 ? 15 : to - from <= 400 ? 60 : 180;
    for (let t = Math.ceil(from / every) * every; t < to; t += every) {
      const x = this.#x(t);
      if (x > left + 20 && x < this.#width - 20) context.fillText(clock(t, every < 60), x, height - 8);
    }
  }

  #drawScale() {
    const { most } = this.#view;
    if (!this.scale.firstChild) {
      const colors = Array.from({ length: steps }, (_, i) => {
        const cell = el('i');
        cell.style.background = `var(--heat-${i + 1})`;
        return cell;
      });
      this.scale.append(el('span', {}, '1'), ...colors, el('span'));
    }
    setText(this.scale.lastChild, count(most));
    this.scale.hidden = most === 0;
  }

  #describe() {
    const { sums, bounds } = this.#view;
    const total = sums.reduce((a, b) => a + b, 0);
    const seen = sums.map((n, k) => ({ k, n, range: range(bounds, k) })).filter(({ n }) => n > 0);
    const commonest = seen.reduce((a, b) => (b.n > a.n ? b : a), { n: 0, range: none });
    setAttribute(this.#picture, 'aria-label', total === 0
      ? 'Latency heatmap: no requests'
      : `Latency heatmap: ${count(total)} requests, most of them (${share(commonest.n / total)}) took ${commonest.range}; the slowest ${count(seen.at(-1).n)} took ${seen.at(-1).range}`);
    keyed(this.rows, seen, ({ k }) => k,
      () => el('tr', {}, el('th', { scope: 'row' }), el('td', { class: 'num' }), el('td', { class: 'num' })),
      (row, { n, range: text }) => [text, count(n), share(n / total)].forEach((cell, i) => setText(row.children[i], cell)));
  }

  #point(event) {
    const { columns, bounds, first, last } = this.#view ?? { columns: [] };
    const { left: boxLeft, top } = this.#box.getBoundingClientRect();
    const [x, y] = [event.clientX - boxLeft, event.clientY - top];
    const column = columns.find(({ start, end }) => x > this.#x(start) && x <= this.#x(end));
    const k = last - Math.floor(y / this.#rowHeight());
    this.#tip.hidden = !column || this.#view.most === 0 || x < left || k < first || k > last;
    if (this.#tip.hidden) return;
    setText(this.#tip, `${clock(column.start, true)} · ${range(bounds, k)} · ${count(column.counts[k])} of ${count(column.counts.reduce((a, b) => a + b, 0))}`);
    this.#tip.style.top = `${Math.max(0, y - 34)}px`;
    this.#tip.style.left = `${Math.max(0, Math.min(x - 80, this.#width - this.#tip.offsetWidth))}px`;
  }

  #x(time) {
    const { from, to } = this.#view;
    return left + ((time - from) / (to - from)) * (this.#width - left);
  }

  #y(k) {
    return (this.#view.last - k) * this.#rowHeight();
  }

  #rowHeight() {
    return (height - bottom) / (this.#view.last - this.#view.first + 1);
  }
}

// shown are the rows with requests, and one more at each end.
function shown(sums) {
  const first = sums.findIndex((n) => n > 0);
  if (first < 0) return { first: 0, last: sums.length - 1 };
  return { first: Math.max(0, first - 1), last: Math.min(sums.length - 1, sums.findLastIndex((n) => n > 0) + 1) };
}

// step is the colour of a count, on a logarithmic scale.
function step(n, most) {
  return most <= 1 ? steps : 1 + Math.round((Math.log(n) / Math.log(most)) * (steps - 1));
}

function range(bounds, k) {
  if (k === 0) return `up to ${duration(bounds[0])}`;
  if (k === bounds.length) return `over ${duration(bounds.at(-1))}`;
  return `${duration(bounds[k - 1])} to ${duration(bounds[k])}`;
}
