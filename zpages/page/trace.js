// Recent traces, and the waterfall of one of them.

import { byId, el, empty, keyed, setAttribute, setHidden, setText, setWidth } from './dom.js';
import { age, count, duration, lines, none, plain, plural } from './format.js';
import { get } from './ask.js';
import { selecting } from './tables.js';

const kinds = [
  { key: 'errors', name: 'Errors', none: ['No errors', 'None of the latest requests that were traced has failed.'] },
  { key: 'panics', name: 'Panics', none: ['No panics', 'No handler has panicked.'] },
  { key: 'slow', name: 'Slow', none: ['Nothing is slow', 'The slowest requests of each route show up here once there are some.'] },
];

// Recent is the tabs of recent errors, panics and slow requests.
export class Recent {
  #kind = kinds[0];
  #traces = { errors: [], panics: [], slow: [], dropped: 0 };
  #onOpen;

  constructor(onOpen) {
    this.#onOpen = onOpen;
    byId('traces-tabs').append(...kinds.map((kind) => this.#tab(kind)));
    byId('traces-tabs').addEventListener('keydown', (event) => this.#arrow(event));
  }

  show(traces) {
    this.#traces = traces;
    this.#draw();
  }

  #tab(kind) {
    return el('button', { type: 'button', role: 'tab', id: `traces-${kind.key}`, 'aria-controls': 'traces-panel', on: { click: () => this.#select(kind) } }, `${kind.name} `, el('b'));
  }

  #select(kind) {
    this.#kind = kind;
    this.#draw();
  }

  #arrow(event) {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    const next = kinds[(kinds.indexOf(this.#kind) + move + kinds.length) % kinds.length];
    this.#select(next);
    byId(`traces-${next.key}`).focus();
    event.preventDefault();
  }

  #draw() {
    for (const kind of kinds) {
      const tab = byId(`traces-${kind.key}`);
      setAttribute(tab, 'aria-selected', kind === this.#kind);
      setAttribute(tab, 'tabindex', kind === this.#kind ? 0 : -1);
      setText(tab.lastChild, count(this.#traces[kind.key].length));
    }
    const rows = this.#traces[this.#kind.key];
    const { dropped } = this.#traces;
    setAttribute(byId('traces-panel'), 'aria-labelledby', `traces-${this.#kind.key}`);
    setText(byId('traces-note'), dropped > 0 ? `${plural(dropped, 'trace')} did not fit and ${dropped === 1 ? 'is' : 'are'} not kept` : '');
    setHidden(byId('traces-rows').parentElement, rows.length === 0);
    empty(byId('traces-empty'), ...(rows.length === 0 ? this.#kind.none : ['']));
    const longest = Math.max(0, ...rows.map((r) => r.duration));
    keyed(byId('traces-rows'), rows, (r) => r.id, () => this.#make(), (row, r) => updateRow(row, r, longest));
  }

  #make() {
    const row = el('tr', { on: { click: () => selecting() || this.#onOpen(row.traceId) } },
      el('th', { scope: 'row' }, el('button', { type: 'button', class: 'route' }, el('span', { class: 'path' }))),
      el('td', { class: 'num' }), el('td', {}, el('span', { class: 'status' })), el('td', { class: 'what' }, el('span', { class: 'clip' }), el('span', { class: 'badge', hidden: true }, 'rescued')),
      el('td', { class: 'num' }, el('span'), el('i', { class: 'bar', 'aria-hidden': 'true' })), el('td', { class: 'num' }));
    return row;
  }
}

function updateRow(row, r, longest) {
  row.traceId = r.id;
  const [name, when, status, what, took, spans] = row.children;
  setText(name.querySelector('.path'), plain(r.name, 200));
  setText(when, age(r.age));
  setText(status.firstChild, r.status === null ? none : String(r.status));
  status.firstChild.classList.toggle('bad', r.status >= 500);
  setText(what.firstChild, plain(r.error, 300));
  setAttribute(what.firstChild, 'title', plain(r.error, 2000));
  setHidden(what.lastChild, !r.rescued);
  setText(took.firstChild, duration(r.duration));
  setWidth(took.lastChild, longest > 0 ? r.duration / longest : 0);
  setText(spans, count(r.spans));
}

const drawnAtFirst = 300;
const deepest = 16; // levels that are indented

// TraceDialog shows one trace as a waterfall.
export class TraceDialog {
  #dialog = byId('trace');
  #trace = null;
  #selected = null;
  #all = false;
  #opener = null;
  id = '';

  constructor(onClose) {
    byId('trace-close').addEventListener('click', () => this.#dialog.close());
    byId('trace-all').addEventListener('click', () => { this.#all = true; this.#drawSpans(); });
    byId('trace-spans').addEventListener('keydown', (event) => this.#arrow(event));
    this.#dialog.addEventListener('click', (event) => { if (event.target === this.#dialog) this.#dialog.close(); });
    this.#dialog.addEventListener('close', () => { this.#left(); onClose(); });
  }

  async open(id) {
    this.id = id;
    this.#trace = this.#selected = null;
    this.#all = false;
    this.#opener ??= document.activeElement;
    this.#say('Asking for the trace');
    if (!this.#dialog.open) this.#dialog.showModal();
    const [trace, problem] = await ask(id);
    if (this.id !== id) return;
    if (!trace) return this.#say(problem);
    this.#show(trace);
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  // #left brings the focus back, also when the row that opened the trace is gone.
  #left() {
    const back = this.#opener?.isConnected ? this.#opener : byId('traces-title');
    this.id = '';
    this.#opener = null;
    back.focus();
  }

  #say(message) {
    setText(byId('trace-title'), 'Trace');
    setText(byId('trace-note'), plain(this.id, 32));
    setText(byId('trace-message'), message);
    setHidden(byId('trace-message'), false);
    setHidden(byId('trace-body'), true);
  }

  #show(trace) {
    this.#trace = trace;
    const [root] = trace.spans;
    setText(byId('trace-title'), plain(root?.name ?? 'Trace', 200));
    setText(byId('trace-note'), traceNote(trace));
    setHidden(byId('trace-message'), true);
    setHidden(byId('trace-body'), false);
    const marks = [0, 0.25, 0.5, 0.75].map((share) => el('span', {}, duration(trace.duration * share)));
    byId('trace-ruler').replaceChildren(...marks);
    byId('trace-spans').replaceChildren();
    byId('trace-spans').rowsByKey = undefined;
    this.#selected = trace.spans.find(worthLooking) ?? root ?? null;
    this.#drawSpans();
    byId('trace-spans').querySelector('[aria-pressed=true]')?.focus();
  }

  #drawSpans() {
    const { spans } = this.#trace;
    const drawn = this.#all ? spans : spans.slice(0, drawnAtFirst);
    keyed(byId('trace-spans'), drawn, (s) => s, (s) => this.#makeSpan(s), (row, s) =>
      setAttribute(row.firstChild, 'aria-pressed', s === this.#selected));
    setHidden(byId('trace-all'), drawn.length === spans.length);
    setText(byId('trace-all'), `Show all ${count(spans.length)} spans`);
    byId('trace-span').replaceChildren(...(this.#selected ? details(this.#selected) : []));
    byId('trace-span').scrollTop = 0;
  }

  #makeSpan(span) {
    const { name, kind, start, status, depth } = span;
    const whole = this.#trace.duration || 1;
    const failed = status === 'error';
    const label = el('span', { class: 'span-name' }, el('span', { class: 'kind' }, plain(kind, 12)), el('span', { class: 'path' }, plain(name, 200)), ...(failed ? [el('b', { class: 'bad' }, 'error')] : []));
    label.style.paddingInlineStart = `min(${Math.min(depth, deepest) * 14}px, 45%)`;
    const bar = el('i', { class: 'span-bar', dataset: { kind: plain(kind, 12), status } });
    const from = Math.min(1, Math.max(0, start / whole));
    bar.style.insetInlineStart = `${(from * 100).toFixed(3)}%`;
    setWidth(bar, Math.min(1 - from, span.duration / whole));
    return el('li', {}, el('button', {
      type: 'button',
      'aria-label': `${plain(name, 200)}, ${plain(kind, 12)}, starts after ${duration(start)}, takes ${duration(span.duration)}${failed ? ', error' : ''}`,
      on: { click: () => { this.#selected = span; this.#drawSpans(); } },
    }, label, el('span', { class: 'lane' }, bar), el('span', { class: 'took' }, duration(span.duration))));
  }

  #arrow(event) {
    const row = event.target.closest('li');
    const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
    if (!next) return;
    next.firstChild.focus();
    next.firstChild.click();
    event.preventDefault();
  }
}

const worthLooking = (span) => span.events.some(({ name }) => name === 'exception');

function traceNote({ id, age: old, duration: took, spans, truncated }) {
  const more = truncated > 0 ? `, ${count(truncated)} more are not kept` : '';
  return `${duration(took)} · ${plural(spans.length, 'span')}${more} · ${age(old)} ago · ${plain(id, 32)}`;
}

// ask returns a trace, or why there is none.
async function ask(id) {
  try {
    return [await get(`trace?id=${encodeURIComponent(id)}`)];
  } catch ({ status }) {
    if (status === 404) return [null, 'This trace is not kept any more: only the latest are. It may still be in the tracing backend.'];
    return [null, status ? `The service answers ${status}.` : 'No answer from the service.'];
  }
}

function details(span) {
  const parts = [
    el('h3', {}, plain(span.name, 500)),
    el('p', { class: 'note' }, `${plain(span.kind, 20)} · ${duration(span.duration)}${span.start > 0 ? ` · starts after ${duration(span.start)}` : ''} · ${plain(span.scope, 200)}`),
  ];
  if (span.status === 'error') parts.push(el('p', { class: 'failure' }, el('b', {}, 'Error '), plain(span.message, 5000)));
  if (span.attributes.length > 0) parts.push(el('h4', {}, 'Attributes'), attributes(span.attributes));
  for (const event of span.events) parts.push(...eventDetails(event));
  if (span.links.length > 0) {
    parts.push(el('h4', {}, 'Links'), attributes(span.links.map((l) => ({ name: 'trace', value: `${l.trace}, span ${l.span}` }))));
  }
  parts.push(el('p', { class: 'note' }, `span ${plain(span.id, 16)}`));
  return parts;
}

function attributes(list) {
  return el('dl', { class: 'pairs' }, ...list.map(({ name, value }) => el('div', {}, el('dt', {}, plain(name, 200)), el('dd', {}, plain(value, 5000)))));
}

function eventDetails({ name, at, attributes: list }) {
  const stack = list.find((a) => a.name === 'exception.stacktrace');
  const rest = list.filter((a) => a !== stack);
  const parts = [el('h4', {}, plain(name, 200), ' ', el('span', { class: 'note' }, `at ${duration(at)}`))];
  if (rest.length > 0) parts.push(attributes(rest));
  if (stack) parts.push(el('pre', { tabIndex: 0 }, lines(stack.value)));
  return parts;
}
