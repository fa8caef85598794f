// Charts over time, drawn by uPlot.

import { el, setAttribute, setText } from './dom.js';
import { clock, none } from './format.js';

/* global uPlot */

const probe = el('span', { hidden: true });
const colors = new Map();

// color resolves a colour of style.css for a canvas.
export function color(name) {
  if (colors.has(name)) return colors.get(name);
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(--${name})`;
  const resolved = getComputedStyle(probe).color;
  colors.set(name, resolved);
  return resolved;
}

const drawn = new Set();

// onTheme has chart drawn again when the theme changes.
export const onTheme = (chart) => drawn.add(chart);

// redraw draws all charts again, after the theme has changed.
export function redraw() {
  colors.clear();
  for (const chart of drawn) chart.redraw();
}

// watchSize calls resize with the width of box, now and whenever it changes.
export function watchSize(box, resize) {
  const observer = new ResizeObserver(([entry]) => {
    if (entry.contentRect.width > 0) resize(Math.floor(entry.contentRect.width));
  });
  observer.observe(box);
}

// Steps of an axis, for what comes in whole numbers and for bytes.
export const wholeSteps = Array.from({ length: 10 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();
export const binarySteps = Array.from({ length: 40 }, (_, i) => 2 ** (i + 10));

// Chart is lines over time, with a legend that tells the values at the cursor,
// or else those of now. Each of series is {name, color, dash, fill}.
export class Chart {
  #plot;
  #box;
  #options;
  #legend;
  #range = [0, 1];
  #data;

  // options: title, series, format; tell, if the legend has another format; height;
  // least, the top of the axis while all is below it; steps of the axis; bare, with
  // neither axes nor legend.
  constructor(parent, options) {
    this.#options = { height: 172, bare: false, tell: options.format, ...options };
    this.#data = [[], ...options.series.map(() => [])];
    this.#box = el('div', { class: 'plot', role: 'img', 'aria-label': options.title });
    this.#box.style.height = `${this.#options.height}px`;
    this.#legend = options.series.map(legendItem);
    if (!this.#options.bare) this.#heading(parent);
    parent.append(this.#box);
    this.#plot = new uPlot(this.#plotOptions(), this.#data, this.#box);
    watchSize(this.#box, (width) => this.#plot.setSize({ width, height: this.#options.height }));
    drawn.add(this);
  }

  #heading(parent) {
    this.time = el('span', { class: 'note time' });
    const items = this.#legend.map(({ item }) => item);
    this.title = el('h3', {}, this.#options.title);
    parent.append(el('div', { class: 'head' }, this.title, el('ul', { class: 'legend' }, ...items), this.time));
  }

  // show draws the columns over the times x, from one time to another.
  show([from, to], x, columns) {
    this.#range = [from, to];
    this.#data = [x, ...columns];
    this.#plot.setData(this.#data);
    this.#tell(this.#plot.cursor.idx ?? null);
    this.#describe(from);
  }

  redraw() {
    this.#plot.redraw(false);
  }

  #tell(index) {
    if (this.#options.bare) return;
    const x = index === null ? undefined : this.#data[0][index];
    setText(this.time, x === undefined ? '' : clock(x, true));
    this.#legend.forEach(({ value }, i) => {
      const column = this.#data[i + 1];
      setText(value, this.#options.tell((x === undefined ? column.at(-1) : column[index]) ?? null));
    });
  }

  #describe(from) {
    const { series, title, tell } = this.#options;
    const texts = series.map(({ name }, i) => {
      const seen = this.#data[i + 1].filter((v, at) => v !== null && this.#data[0][at] >= from);
      if (seen.length === 0) return `${name} ${none}`;
      return `${name} now ${tell(this.#data[i + 1].at(-1))}, between ${tell(Math.min(...seen))} and ${tell(Math.max(...seen))}`;
    });
    setAttribute(this.#box, 'aria-label', `${title}: ${texts.map((text) => text.trim()).join('; ')}`);
  }

  #plotOptions() {
    const { series, bare, height, least = 0 } = this.#options;
    return {
      width: 100,
      height,
      padding: bare ? [2, 0, 2, 0] : [8, 22, 0, 0],
      legend: { show: false },
      cursor: bare ? { show: false } : { drag: { x: false, y: false }, y: false, sync: { key: 'time', setSeries: false }, points: { size: 7 } },
      scales: { x: { range: () => this.#range }, y: { range: (_, __, max) => [0, Math.max((max ?? 0) * 1.1, least) || 1] } },
      axes: bare ? [{ show: false }, { show: false }] : this.#axes(),
      series: [{}, ...series.map((s) => line(s, bare))],
      hooks: { setCursor: [(plot) => this.#data && this.#tell(plot.cursor.idx ?? null)] },
    };
  }

  #axes() {
    const { format, steps } = this.#options;
    const look = { stroke: () => color('muted'), font: '11px system-ui, sans-serif', ticks: { show: false }, grid: { stroke: () => color('grid'), width: 1 } };
    return [
      { ...look, size: 22, gap: 5, space: 70, incrs: [15, 30, 60, 120, 300], grid: { show: false }, values: (_, splits, __, ___, step) => splits.map((s) => clock(s, step < 60)) },
      { ...look, size: 62, space: 34, gap: 4, ...(steps && { incrs: steps }), values: (_, splits) => splits.map(format) },
    ];
  }
}

function line({ color: name, dash, fill }, bare) {
  return {
    stroke: () => color(name),
    fill: fill ? () => color(`${name}-fill`) : undefined,
    dash,
    width: bare ? 1.25 : 1.5,
    points: { show: false },
  };
}

function legendItem({ name, color: colorName, dash }) {
  const marker = el('i', { class: dash ? 'marker dashed' : 'marker', 'aria-hidden': 'true' });
  marker.style.color = `var(--${colorName})`;
  const value = el('b', {}, none);
  return { item: el('li', {}, marker, `${name} `, value), value };
}
