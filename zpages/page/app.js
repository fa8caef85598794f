// The live page: asks the service every 2 s how it is, and shows the answer.

import { byId, el, empty, setAttribute, setHidden, setText } from './dom.js';
import { age, bytes, clock, count, duration, percentile, plain, plural, rate, share } from './format.js';
import { get, Refusal } from './ask.js';
import { binarySteps, Chart, redraw, wholeSteps } from './charts.js';
import { Heatmap } from './heatmap.js';
import { Points } from './points.js';
import { Routes, routeName, showFailed } from './tables.js';
import { Recent, TraceDialog } from './trace.js';
import { showAttention, showCardinality, showExporters, showIdentity, showLLM, showRuntime, showSampling, showSettings } from './panels.js';

const windows = [60, 300, 900]; // s

// What is chosen; the part after # of the address has it too, so that it
// survives a reload and can be passed on.
const chosen = { route: '', window: 300, trace: '' };

let answer = null; // the latest
let answered = 0; // when that was, by the clock here
let end = 0; // the time of the latest point
let trouble = null; // why there is no answer
let fault = null; // what went wrong in showing one
let paused = false;
const points = new Points();

// What goes wrong in the page itself is on the console, as the browser has it, and
// told in the page.
addEventListener('error', ({ error }) => { if (error) showFault(error); });
addEventListener('unhandledrejection', ({ reason }) => showFault(reason));

// attempt does one part of the work: a fault in it leaves the others alone.
function attempt(part) {
  try { part(); } catch (thrown) { reportError(thrown); }
}

// --- Asking ---

let due = false; // ask now, also while paused
let request = null;
let wake = () => {};

// askNow gives up the request that is under way, if any, for a new one.
function askNow() {
  due = true;
  request?.abort();
  wake();
}

async function run() {
  for (;;) {
    if (due || !(paused || document.hidden)) {
      due = false;
      const next = await ask();
      if (next) attempt(() => take(next));
    }
    if (!due) await rest((answer?.every ?? 2) * 1000);
  }
}

function rest(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
}

// ask returns an answer, or null and says why there is none.
async function ask() {
  const query = new URLSearchParams({ since: points.seq, window: chosen.window });
  if (chosen.route) query.set('route', chosen.route);
  request = new AbortController();
  try {
    return await get(`data?${query}`, request);
  } catch (problem) {
    if (!due) showTrouble(problem); // else it was given up for a new one
    return null;
  } finally {
    request = null;
  }
}

// span says what the numbers are of.
function span({ window, total }) {
  const told = `last ${window / 60} min`;
  return total.approximate ? `${told}; percentiles are approximate, as not all histograms have the boundaries that are kept here` : told;
}

function take(next) {
  if (points.restarted(next)) {
    points.restart();
    due = true; // all points of the new process
    return;
  }
  answer = next;
  answered = Date.now() / 1000;
  trouble = fault = null;
  end = points.add(next, answered);
  showAll();
  showState();
}

// --- Header ---

function showTrouble(problem) {
  trouble = problem instanceof Refusal ? problem : new Error('no answer');
  showState();
}

function showFault(thrown) {
  fault = thrown;
  showState();
}

function showState() {
  const state = trouble ? 'down' : paused ? 'paused' : answer ? 'live' : 'wait';
  const text = { down: trouble?.status === 401 || trouble?.status === 403 ? 'Refused' : 'No answer', paused: 'Paused', live: 'Live', wait: 'Connecting' }[state];
  setAttribute(byId('live'), 'data-state', state);
  setText(byId('live-text'), text);
  setHidden(byId('banner'), !trouble && !fault);
  setText(byId('banner'), trouble ? troubleText() : fault ? faultText() : '');
}

function troubleText() {
  const { status, text } = trouble;
  const since = answer ? ` since ${clock(answered, true)}` : '';
  const kept = answer ? ' What is shown is as it was then.' : '';
  if (status === 401) return `The service wants a user name and a password: reload the page to give them.${kept}`;
  if (status === 403) return `The service refuses to show this page here. ${text}`;
  if (status) return `The service answers ${status}${since}, trying on. ${text}${kept}`;
  return `No answer${since}, trying on.${kept}`;
}

function faultText() {
  return `This page has a fault, not the service: ${plain(fault, 120)}. Some of it may be old or missing; the browser's console tells more. It is made for Chrome and Edge 123, Firefox 121, Safari 17.5 and later.`;
}

function showHeader() {
  const identity = Object.fromEntries(answer.identity.map(({ name, value }) => [name, value]));
  const name = plain(identity['service.name'] ?? 'unknown service', 120);
  setText(byId('service'), name);
  document.title = `${name} · zpages`;
  showFact('version', identity['service.version']);
  showFact('environment', identity['deployment.environment.name'] ?? identity['deployment.environment']);
  showFact('instance', identity['service.instance.id'] ?? identity['host.name']);
  setText(byId('uptime'), `up ${age(answer.uptime)}`);
  setText(byId('toolkit'), `otelmon ${plain(answer.version, 40)}`);
}

function showFact(id, value) {
  setHidden(byId(id), !value);
  setText(byId(id), plain(value, 60));
}

// --- Overview ---

// latency is a percentile of the service's own histogram.
const latency = (s) => percentile(s, answer?.heatmap.bounds[0]);

const figures = [
  { name: 'Requests', of: (r) => r.rate, format: rate, column: 'rate', color: 'rate', note: (r) => plural(r.requests, 'request') + (r.streams > 0 ? `, ${plural(r.streams, 'stream')}` : '') },
  { name: 'Error share', of: (r) => r.share, format: share, column: 'errors', color: 'bad', least: 0.01, note: (r) => `${count(r.errors)} failed`, bad: (r) => r.share >= 0.01 },
  { name: 'P50', of: (r) => r.p50, format: latency, column: 'p50', color: 'p50', note: () => 'half are faster' },
  { name: 'P95', of: (r) => r.p95, format: latency, column: 'p95', color: 'p95', note: () => '1 in 20 is slower' },
  { name: 'P99', of: (r) => r.p99, format: latency, column: 'p99', color: 'p99', note: () => '1 in 100 is slower' },
  { name: 'In flight', of: (r) => r.in_flight, format: count, column: 'in_flight', color: 'flight', least: 2, note: () => 'now' },
];

function makeFigure(figure) {
  const value = el('b');
  const unit = el('small');
  const note = el('span', { class: 'note' });
  const box = el('div', { class: 'spark' });
  const card = el('div', { class: 'card figure' }, el('h3', {}, figure.name), el('p', {}, value, ' ', unit), note, box);
  byId('figures').append(card);
  const { name, color, least, format } = figure;
  const chart = new Chart(box, { title: name, series: [{ name: '', color, fill: true }], format, least, height: 34, bare: true });
  return { ...figure, card, value, unit, noteNode: note, chart };
}

function updateFigure(figure, subject, course, range) {
  const [number, ...unit] = figure.format(figure.of(subject)).split(' ');
  setText(figure.value, number);
  setText(figure.unit, unit.join(' '));
  setText(figure.noteNode, figure.note(subject));
  figure.card.classList.toggle('bad', Boolean(figure.bad?.(subject)));
  figure.chart.show(range, course.x, [course.column(figure.column)]);
}

const seconds = (name, dash) => ({ name: name.toUpperCase(), color: name, dash });

function makeCharts() {
  const box = (id) => {
    const card = el('div', { class: 'card' });
    byId(id).append(card);
    return card;
  };
  return {
    rate: new Chart(box('charts'), { title: 'Requests', format: rate, least: 1, series: [{ name: 'all', color: 'rate', fill: true }, { name: 'failed', color: 'bad', fill: true, dash: [5, 3] }] }),
    latency: new Chart(box('charts'), { title: 'Latency', format: duration, tell: latency, least: 0.001, series: [seconds('p50'), seconds('p95', [6, 3]), seconds('p99')] }),
    flight: new Chart(box('charts'), { title: 'In flight', format: count, least: 4, steps: wholeSteps, series: [{ name: 'all routes', color: 'flight', fill: true }] }),
    cpu: new Chart(box('runtime-charts'), { title: 'CPU', format: share, least: 0.05, height: 110, series: [{ name: 'of one core', color: 'rate', fill: true }] }),
    memory: new Chart(box('runtime-charts'), { title: 'Memory', format: bytes, least: 2 ** 20, steps: binarySteps, height: 110, series: [{ name: 'resident', color: 'flight', fill: true }] }),
    goroutines: new Chart(box('runtime-charts'), { title: 'Goroutines', format: count, least: 4, steps: wholeSteps, height: 110, series: [{ name: 'now', color: 'p95', fill: true }] }),
    queued: new Chart(box('runtime-charts'), { title: 'Export queue', format: count, least: 4, steps: wholeSteps, height: 110, series: [{ name: 'waiting', color: 'p50', fill: true }] }),
    llm: new Chart(byId('llm-chart'), { title: 'LLM operations', format: rate, height: 26, bare: true, series: [{ name: 'operations', color: 'rate', fill: true }] }),
  };
}

// courseOf is how a route went; the service tells it anew each time.
function courseOf({ route_points: told }, key) {
  const its = told?.key === key ? told : { age: [] };
  return {
    x: its.age.map((a) => end - a),
    column: (name) => its[name] ?? its.age.map(() => null),
  };
}

function showOverview(range) {
  const route = answer.routes.find(({ key }) => key === chosen.route);
  const course = chosen.route ? courseOf(answer, chosen.route) : points;
  const subject = chosen.route ? route ?? nothing : answer.total;
  const errors = course.column('errors'); // null while nothing is asked for
  const failed = course.column('rate').map((r, i) => (r === null ? null : r * (errors[i] ?? 0)));
  setText(byId('overview-title'), chosen.route ? (route ? routeName(route).join(' ').trim() : plain(chosen.route, 300)) : 'All routes');
  setText(byId('overview-note'), chosen.route && !route ? 'not asked for in this window' : span(answer));
  setHidden(byId('back'), !chosen.route);
  figureCards.forEach((figure) => updateFigure(figure, subject, course, range));
  charts.rate.show(range, course.x, [course.column('rate'), failed]);
  charts.latency.show(range, course.x, ['p50', 'p95', 'p99'].map((name) => course.column(name)));
  charts.flight.show(range, points.x, [points.column('in_flight')]);
}

const nothing = { requests: 0, rate: null, errors: 0, share: null, p50: null, p95: null, p99: null, in_flight: null, streams: 0 };

function showProcess(range) {
  for (const name of ['cpu', 'memory', 'goroutines', 'queued']) charts[name].show(range, points.x, [points.column(name)]);
  charts.llm.show(range, points.x, [points.column('llm_rate')]);
}

// showWelcome says how to begin. A service that only calls others has no requests
// to show.
function showWelcome() {
  const served = answer.routes.length > 0 || points.column('rate').some((r) => r > 0);
  const callsOnly = !served && answer.llm.length > 0;
  for (const id of ['overview', 'routes']) showSection(id, !callsOnly);
  showSection('llm', answer.llm.length > 0);
  setHidden(byId('welcome'), served);
  empty(byId('welcome'), 'No requests yet', 'Send one to the service, as the first line does with an address of yours. If it is not seen here within 5 s, the handler is not wrapped: the second line does that.',
    'curl http://localhost:8080/\nhttp.ListenAndServe("localhost:8080", middleware.Handler(mux, middleware.Config{}))');
}

// shownFrom is where the charts begin: they grow into the window while the service
// is young.
function shownFrom() {
  return Math.max(end - chosen.window, Math.min(end - windows[0], points.x[0] ?? end));
}

function showSection(id, shown) {
  setHidden(byId(id), !shown);
  setHidden(document.querySelector(`.sections a[href="#${id}"]`), !shown);
}

function showAll() {
  const range = [shownFrom(), end];
  setHidden(byId('main'), false);
  const parts = [
    showHeader,
    showWelcome,
    () => showOverview(range),
    () => heatmap.show(range, answer.heatmap),
    () => showFailed(answer, chosen.route, selectRoute),
    () => routes.show(answer, chosen.route),
    () => recent.show(answer.traces),
    () => showAttention(answer),
    () => showLLM(answer.llm),
    () => showExporters(answer),
    () => showSampling(answer),
    () => showCardinality(answer),
    () => showProcess(range),
    () => showRuntime(answer.runtime),
    () => showIdentity(answer.identity),
    () => showSettings(answer.settings),
  ];
  parts.forEach(attempt);
}

// --- Choosing ---

function readHash() {
  const query = new URLSearchParams(location.hash.slice(1));
  chosen.route = query.get('route') ?? '';
  chosen.window = windows.find((w) => String(w) === query.get('window')) ?? 300;
  chosen.trace = query.get('trace') ?? '';
  for (const button of byId('windows').children) setAttribute(button, 'aria-pressed', Number(button.dataset.window) === chosen.window);
}

// choose changes what is chosen; a new one can be left by the browser's Back.
function choose(change) {
  Object.assign(chosen, change);
  const query = new URLSearchParams();
  if (chosen.route) query.set('route', chosen.route);
  if (chosen.window !== 300) query.set('window', chosen.window);
  if (chosen.trace) query.set('trace', chosen.trace);
  const hash = query.toString();
  history[change.route || change.trace ? 'pushState' : 'replaceState'](null, '', hash ? `#${hash}` : location.pathname + location.search);
  readHash();
}

function selectRoute(route) {
  choose({ route });
  if (answer) showAll();
  askNow();
  if (route) byId('overview').scrollIntoView({ block: 'start' });
}

function followTrace() {
  if (chosen.trace) dialog.open(chosen.trace);
  else dialog.close();
}

function goTo(event) {
  const link = event.target.closest('a[href^="#"]');
  if (!link) return;
  event.preventDefault(); // what is after # has another use
  const section = document.querySelector(link.getAttribute('href'));
  section.scrollIntoView({ block: 'start' });
  (section.querySelector(':scope > .head h2') ?? section).focus({ preventScroll: true });
}

// --- Theme ---

const dark = matchMedia('(prefers-color-scheme: dark)');

function showTheme() {
  const isDark = (document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark';
  setText(byId('theme'), isDark ? 'Light' : 'Dark');
  setAttribute(byId('theme'), 'aria-label', `Use the ${isDark ? 'light' : 'dark'} theme`);
  redraw();
}

function toggleTheme() {
  const theme = byId('theme').textContent.toLowerCase();
  document.documentElement.dataset.theme = theme;
  remember('theme', theme);
  showTheme();
}

// Storage may be switched off.
function remember(name, value) {
  try { localStorage.setItem(`zpages.${name}`, value); } catch { /* for this page only */ }
}

function remembered(name) {
  try { return localStorage.getItem(`zpages.${name}`); } catch { return null; }
}

// --- Start ---

const figureCards = figures.map(makeFigure);
const charts = makeCharts();
const heatmap = new Heatmap(byId('heatmap'), byId('heatmap-scale'), byId('heatmap-rows'));
const routes = new Routes(selectRoute);
const recent = new Recent((trace) => { choose({ trace }); followTrace(); });
const dialog = new TraceDialog(() => { if (chosen.trace) choose({ trace: '' }); });

function listen() {
  byId('pause').addEventListener('click', () => {
    paused = !paused;
    setText(byId('pause'), paused ? 'Go on' : 'Pause');
    showState();
    if (!paused) askNow();
  });
  byId('windows').addEventListener('click', ({ target }) => {
    if (!target.dataset.window) return;
    choose({ window: Number(target.dataset.window) });
    if (answer) showAll();
    askNow();
  });
  byId('back').addEventListener('click', () => { selectRoute(''); byId('overview-title').focus(); });
  byId('theme').addEventListener('click', toggleTheme);
  byId('configuration-filter').addEventListener('input', () => answer && showSettings(answer.settings));
  dark.addEventListener('change', showTheme);
  document.addEventListener('click', goTo);
  document.addEventListener('visibilitychange', () => { if (!document.hidden && !paused) askNow(); });
  addEventListener('popstate', () => { readHash(); followTrace(); if (answer) showAll(); askNow(); });
}

const theme = remembered('theme');
if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
showTheme();
readHash();
listen();
followTrace();
run();
