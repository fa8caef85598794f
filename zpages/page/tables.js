// The table of routes: sorted, filtered, and one of them selected.

import { byId, el, empty, keyed, setAttribute, setHidden, setText, setWidth } from './dom.js';
import { count, none, percentile, plain, plural, rate, share } from './format.js';

const drawnAtFirst = 50;

const columns = [
  { name: 'Route', of: (r) => r.key, ascending: true },
  { name: 'Requests', of: (r) => r.requests, format: count, bar: true },
  { name: 'Rate', of: (r) => r.rate, format: rate },
  { name: 'Errors', of: (r) => r.share, format: share, bad: (r) => r.share >= 0.01 },
  { name: 'P50', of: (r) => r.p50, format: percentile },
  { name: 'P95', of: (r) => r.p95, format: percentile },
  { name: 'P99', of: (r) => r.p99, format: percentile, bar: true },
  { name: 'In flight', of: (r) => r.in_flight, format: count },
  { name: 'Sampled', of: (r) => r.sampled, format: share },
  { name: 'Rescued', of: (r) => r.rescued, format: count, title: 'Kept although not sampled, because they failed or were slow' },
];

// routeName is method and route as two pieces of harmless text.
export function routeName({ method, route, others }) {
  if (others) return ['', 'All other routes'];
  return [plain(method, 20), plain(route || none, 300)];
}

export class Routes {
  #routes = [];
  #selected = '';
  #finest = 0; // s, see percentile
  #sort = columns[1];
  #ascending = false;
  #all = false;
  #filter = byId('routes-filter');
  #onSelect;

  constructor(onSelect) {
    this.#onSelect = onSelect;
    byId('routes-head').append(...columns.map((c) => this.#header(c)));
    byId('routes-all').addEventListener('click', () => { this.#all = !this.#all; this.#draw(); });
    this.#filter.addEventListener('input', () => this.#draw());
  }

  show({ routes, others, window, heatmap }, selected) {
    this.#routes = routes;
    this.#selected = selected;
    this.#finest = heatmap.bounds[0];
    setText(byId('routes-note'), routesNote(routes, others, window));
    this.#draw();
  }

  #header(column) {
    const button = el('button', { type: 'button', on: { click: () => this.#sortBy(column) } }, column.name);
    return el('th', { scope: 'col', class: column.format ? 'num' : '', title: column.title ?? '' }, button);
  }

  #sortBy(column) {
    this.#ascending = this.#sort === column ? !this.#ascending : Boolean(column.ascending);
    this.#sort = column;
    this.#draw();
  }

  #draw() {
    const found = this.#found();
    const drawn = this.#all ? found : found.slice(0, drawnAtFirst);
    const most = columns.map(({ of, bar }) => (bar ? Math.max(...this.#routes.map((r) => of(r) ?? 0), 0) : 0));
    [...byId('routes-head').children].forEach((th, i) =>
      setAttribute(th, 'aria-sort', columns[i] === this.#sort ? (this.#ascending ? 'ascending' : 'descending') : null));
    keyed(byId('routes-rows'), drawn, (r) => r.key, () => this.#make(), (row, r) => this.#update(row, r, most));
    const more = byId('routes-all');
    setHidden(more, found.length <= drawnAtFirst);
    setHidden(byId('routes-rows').parentElement, found.length === 0);
    this.#advise();
    setText(more, this.#all ? `Show the first ${drawnAtFirst}` : `Show all ${count(found.length)}`);
  }

  #found() {
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.#routes.filter(({ key }) => words.every((word) => key.toLowerCase().includes(word)));
    return found.sort((a, b) => compare(this.#sort.of(a), this.#sort.of(b), this.#ascending));
  }

  #make() {
    const name = el('button', { type: 'button', class: 'route' }, el('span', { class: 'method' }), el('span', { class: 'path' }), el('span', { class: 'badge', hidden: true }));
    const cells = columns.slice(1).map(({ bar }) => el('td', { class: 'num' }, el('span'), ...(bar ? [el('i', { class: 'bar', 'aria-hidden': 'true' })] : [])));
    const row = el('tr', { on: { click: () => row.key && !selecting() && this.#onSelect(row.key === this.#selected ? '' : row.key) } }, el('th', { scope: 'row' }, name), ...cells);
    return row;
  }

  #update(row, r, most) {
    row.key = r.key;
    row.classList.toggle('selected', !r.others && r.key === this.#selected);
    row.classList.toggle('others', r.others);
    const [button] = row.firstChild.children;
    const [method, path] = routeName(r);
    const [methodNode, pathNode, badge] = button.children;
    setText(methodNode, method);
    setText(pathNode, path);
    setAttribute(button, 'aria-pressed', r.others ? null : r.key === this.#selected);
    button.disabled = r.others;
    setAttribute(button, 'title', `${method} ${path}`.trim());
    setHidden(badge, !r.streams);
    setText(badge, r.streams === r.requests ? 'streams' : plural(r.streams, 'stream'));
    columns.slice(1).forEach((column, i) => updateCell(row.children[i + 1], column, r, most[i + 1], this.#finest));
  }

  #advise() {
    const box = byId('routes-advice');
    const allOther = this.#routes.length > 0 && this.#routes.every(({ route }) => route === '_OTHER' || route === '');
    if (allOther) {
      empty(box, 'No route has a name', 'The router is not known to the middleware: something stands between them, or it is not http.ServeMux. Say which one it is:',
        'middleware.Handler(handler, middleware.Config{Mux: mux})\n// another router: Config.Route, or middleware.SetRoute in its own middleware');
    } else if (this.#routes.length === 0) {
      empty(box, 'No requests in this window', 'Routes are listed as soon as one is asked for.');
    } else if (this.#found().length === 0) {
      empty(box, 'No route has these words');
    } else {
      empty(box, '');
    }
  }
}

// selecting reports whether a click ends a selection of text, to be copied.
export const selecting = () => getSelection().type === 'Range';

function updateCell(cell, column, r, most, finest) {
  const value = column.of(r);
  setText(cell.firstChild, column.format(value, finest));
  cell.classList.toggle('bad', Boolean(column.bad?.(r)));
  cell.classList.toggle('nothing', value === null || value === 0);
  if (column.bar) setWidth(cell.lastChild, most > 0 ? (value ?? 0) / most : 0);
}

// compare puts what is unknown last, whichever the order.
function compare(a, b, ascending) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === 'string' ? a.localeCompare(b) : a - b;
  return ascending ? order : -order;
}

function routesNote(routes, others, window) {
  const told = `${count(routes.length)} in ${window / 60} min`;
  return others > 0 ? `${told}, ${count(others)} more are counted together` : told;
}

// The errors of the window by type and route, or of the selected route alone; a
// row selects its route.
export function showFailed({ errors: all, routes, window, total }, selected, onSelect) {
  const errors = all.filter((e) => !selected || e.route === selected);
  const most = Math.max(1, ...errors.map((e) => e.count));
  setText(byId('failed-note'), `within ${window / 60} min`);
  if (errors.length > 0) empty(byId('failed-empty'), '');
  else if (total.requests === 0) empty(byId('failed-empty'), 'No requests in this window');
  else empty(byId('failed-empty'), 'No errors', 'No request in this window failed. Those that were answered with 4xx are for their clients to mend.');
  keyed(byId('failed'), errors, (e) => JSON.stringify([e.type, e.route, e.status]), makeFailed, (item, e) => {
    item.select = routes.some(({ key }) => key === e.route) ? () => onSelect(e.route) : () => {};
    const [type, route, n] = item.firstChild.children;
    setText(type, plain(e.type, 100));
    setText(route, plain(e.route, 200));
    setText(n, count(e.count));
    setWidth(item.lastChild, e.count / most);
  });
}

function makeFailed() {
  const item = el('li', {},
    el('button', { type: 'button', on: { click: () => item.select() } }, el('b'), el('span', { class: 'path' }), el('span', { class: 'num' })),
    el('i', { class: 'bar bad', 'aria-hidden': 'true' }));
  return item;
}
