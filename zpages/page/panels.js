// The panels below the requests: what needs attention, LLM APIs, exporters,
// sampling, cardinality, runtime, identity and configuration.

import { byId, el, empty, keyed, setAttribute, setHidden, setText, setWidth } from './dom.js';
import { age, bytes, count, date, duration, money, none, plain, plural, quantity, rate, share } from './format.js';
import { routeName } from './tables.js';

const sum = (numbers) => Object.values(numbers).reduce((a, b) => a + b, 0);
const units = { traces: 'span', metrics: 'data point', logs: 'log record' };
const things = (n, signal) => plural(n, units[signal] ?? 'item');
const reasons = (lost) => Object.entries(lost).filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a)
  .map(([reason, n]) => `${plain(reason, 60)} ${count(n)}`).join(', ');

// showAttention lists what is wrong, each with a link to where it is explained.
export function showAttention(answer) {
  const problems = [...pushProblems(answer), ...telemetryProblems(answer)];
  setHidden(byId('attention'), problems.length === 0);
  keyed(byId('attention-list'), problems, ({ text, at }) => `${at} ${text.replace(/[\d.,]+/g, '')}`,
    () => el('li', {}, el('a')), (item, { text, at }) => {
      setText(item.firstChild, text);
      setAttribute(item.firstChild, 'href', at);
    });
}

function pushProblems({ pushes }) {
  const silent = pushes.filter(isDown);
  const down = [...new Set(silent.map((p) => p.address))].map((address) => {
    const group = silent.filter((p) => p.address === address);
    return {
      at: '#exporters',
      text: `${group.map((p) => plain(p.signal, 20)).join(', ')} do not reach ${plain(address, 100)} for ${age(Math.max(...group.map((p) => p.since)))}`,
    };
  });
  const lost = pushes.filter((p) => sum(p.lost) > 0).map((p) => ({ at: '#exporters', text: `${things(sum(p.lost), p.signal)} lost: ${reasons(p.lost)}` }));
  return [...down, ...lost];
}

function telemetryProblems({ traces, cardinality, settings, telemetry, total, routes }) {
  const over = cardinality.instruments.filter((i) => i.overflow).length;
  const wrong = settings.filter((s) => s.problem).length;
  const unnamed = routes.length > 0 && total.requests > 0 && routes.every((r) => r.route === '_OTHER' || r.route === '');
  return [
    [traces.panics.length, '#traces', `${plural(traces.panics.length, 'recent panic')}`],
    [unnamed, '#routes', 'No route has a name'],
    [over, '#cardinality', `${plural(over, 'instrument')} at the limit of series`],
    [wrong, '#configuration', `${plural(wrong, 'setting')} not obeyed as ${wrong === 1 ? 'it stands' : 'they stand'}`],
    [telemetry.refused_values, '#cardinality', `${plural(telemetry.refused_values, 'value')} refused: not a number, or negative`],
    [telemetry.callback_failures, '#cardinality', `${plural(telemetry.callback_failures, 'callback')} of instruments failed`],
    [telemetry.scrape_failures, '#exporters', `${plural(telemetry.scrape_failures, 'scrape')} failed`],
  ].filter(([there]) => there).map(([, at, text]) => ({ at, text }));
}

const isDown = ({ up, since }) => !up && since !== null;

// --- LLM APIs ---

const classes = ['input_cached', 'input_cache_write', 'input_uncached', 'output_answer', 'output_reasoning', 'output_unsplit'];
const tokenName = (name) => plain(name, 40).replaceAll('_', ' ');

export function showLLM(models) {
  keyed(byId('llm-rows'), models, (m) => `${m.provider} ${m.model}`, makeModel, updateModel);
}

function makeModel() {
  const cells = Array.from({ length: 9 }, (_, i) => el('td', { class: [5, 8].includes(i) ? '' : 'num' }));
  cells[5].append(el('div', { class: 'stack', 'aria-hidden': 'true' }), el('ul', { class: 'legend' }));
  return el('tr', {}, el('th', { scope: 'row' }, el('span', { class: 'path' }), el('span', { class: 'note' })), ...cells);
}

function updateModel(row, m) {
  const [name, operations, success, perSecond, took, first, tokens, cost, wasted, unknown] = row.children;
  setText(name.firstChild, plain(m.model, 100));
  setText(name.lastChild, plain(m.provider, 60));
  setText(operations, count(m.operations));
  setText(success, m.operations > 0 ? share(1 - m.errors / m.operations) : none);
  setAttribute(success, 'title', reasons(m.outcomes));
  success.classList.toggle('bad', m.errors >= 0.01 * m.operations && m.errors > 0);
  setText(perSecond, rate(m.rate));
  setText(took, pair(m.p50, m.p99));
  setText(first, pair(m.first_token_p50, m.first_token_p99));
  showTokens(tokens, m.tokens);
  setText(cost, m.cost.length > 0 ? money(m.cost) : none);
  setText(wasted, m.wasted_tokens > 0 ? [`${count(m.wasted_tokens)} tokens`, money(m.wasted_cost)].filter(Boolean).join(', ') : none);
  setText(unknown, unknownText(m));
}

const pair = (a, b) => (a === null && b === null ? none : `${duration(a)} / ${duration(b)}`);

function unknownText({ usage_missing: usage, price_unknown: price }) {
  const parts = [];
  if (usage > 0) parts.push(`${count(usage)} without usage`);
  if (price > 0) parts.push(`${count(price)} without price`);
  return parts.join(', ') || 'nothing';
}

function showTokens(cell, tokens) {
  const total = sum(tokens);
  const order = (name) => (classes.indexOf(name) + classes.length + 1) % (classes.length + 1); // unknown names last
  const parts = Object.entries(tokens).filter(([, n]) => n > 0).sort(([a], [b]) => order(a) - order(b));
  const [stack, legend] = cell.children;
  showStack(stack, parts.map(([name, n]) => ({ name, share: n / total })));
  keyed(legend, parts, ([name]) => name, ([name]) => el('li', {}, marker(name), `${tokenName(name)} `, el('b')), (item, [, n]) => setText(item.lastChild, count(n)));
}

function marker(name) {
  return el('i', { class: 'dot', dataset: { part: name }, 'aria-hidden': 'true' });
}

function showStack(box, parts) {
  keyed(box, parts, ({ name }) => name, ({ name }) => el('i', { dataset: { part: name } }), (part, p) => setWidth(part, p.share));
}

// --- Exporters ---

export function showExporters({ pushes, scrape, identity }) {
  const cards = [...pushes.map((push) => ({ key: push.signal, push })), ...(scrape.url ? [{ key: 'scrape', scrape }] : [])];
  keyed(byId('exporters-cards'), cards, ({ key }) => key, makeExporter, (card, { push: p, scrape: s }) => (p ? updatePush(card, p) : updateScrape(card, s)));
  adviseOnPushes(pushes, scrape);
  adviseOnScrapes(pushes, scrape, identity);
}

function makeExporter() {
  return el('article', { class: 'card exporter' },
    el('div', { class: 'head' }, el('h3'), el('span', { class: 'pill' })),
    el('p', { class: 'note path' }),
    el('div', { class: 'meter', 'aria-hidden': 'true', hidden: true }, el('i', { class: 'bar' })),
    el('dl', { class: 'pairs tight' }),
    el('p', { class: 'failure', hidden: true }));
}

function updatePush(card, p) {
  const [head, address, meter, facts, failure] = card.children;
  setText(head.firstChild, plain(p.signal, 20));
  setPill(head.lastChild, p.since === null ? ['idle', 'Nothing sent yet'] : p.up ? ['up', `Up for ${age(p.since)}`] : ['down', `Down for ${age(p.since)}`]);
  setText(address, `${plain(p.address, 200)} · ${plain(p.protocol, 20)}`);
  const fill = Math.max(p.queue_items > 0 ? p.queued / p.queue_items : 0, p.queue_bytes > 0 ? p.queued_bytes / p.queue_bytes : 0);
  setHidden(meter, p.queue_items === 0);
  setWidth(meter.firstChild, fill);
  meter.classList.toggle('full', fill > 0.8);
  const queue = p.queue_items > 0 ? [['Queue', `${count(p.queued)} of ${count(p.queue_items)}, ${bytes(p.queued_bytes)} of ${bytes(p.queue_bytes)}`]] : [];
  showPairs(facts, [...queue, ['In flight', count(p.in_flight)], ['Delivered', `${count(p.acknowledged)} of ${things(p.accepted, p.signal)}`],
    ['Lost', sum(p.lost) > 0 ? reasons(p.lost) : 'nothing'], ['Last delivery', p.acknowledged > 0 && p.last_success_age !== null ? `${age(p.last_success_age)} ago` : none]]);
  setHidden(failure, !p.last_error);
  failure.classList.toggle('over', p.up);
  setText(failure, p.last_error ? `${age(p.last_error_age)} ago: ${plain(p.last_error, 600)}` : '');
}

function updateScrape(card, { url, scrapes, last_age: last }) {
  const [head, address, , facts] = card.children;
  setText(head.firstChild, 'scrape');
  setPill(head.lastChild, last === null ? ['idle', 'Nobody has asked'] : last > 300 ? ['down', `Not asked for ${age(last)}`] : ['up', 'Scraped']);
  setText(address, plain(url, 300));
  showPairs(facts, [['Scrapes', count(scrapes)], ['Last asked', last === null ? none : `${age(last)} ago`]]);
}

function setPill(pill, [state, text]) {
  if (pill.dataset.state !== state) pill.dataset.state = state;
  setText(pill, text);
}

function adviseOnPushes(pushes, scrape) {
  const box = byId('pushes-advice');
  const down = pushes.filter(isDown);
  if (pushes.length === 0 && !scrape.url) {
    empty(box, 'Nothing leaves this service', 'It neither pushes over OTLP nor serves a metrics page. OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER decide that.');
  } else if (down.length > 0) {
    const silent = pushes.filter((p) => isDown(p) || (p.since === null && down.some(({ address }) => address === p.address)));
    const off = silent.map(({ signal }) => `OTEL_${plain(signal, 20).toUpperCase()}_EXPORTER=${signal === 'metrics' ? 'prometheus' : 'none'}`);
    empty(box, 'No Collector answers', 'Is one to be there? Run it, or give its address in OTEL_EXPORTER_OTLP_ENDPOINT; `otelmon doctor` tells what is wrong. Or push nothing: the last line.',
      `docker run --rm -p 127.0.0.1:4317:4317 -p 127.0.0.1:4318:4318 otel/opentelemetry-collector-contrib\n${off.join(' ')}`);
  } else {
    empty(box, '');
  }
}

// adviseOnScrapes never leads to metrics that are both pushed and scraped: most
// often these end in one Prometheus, which counts them twice.
function adviseOnScrapes(pushes, scrape, identity) {
  const box = byId('scrapes-advice');
  const pushed = pushes.find(({ signal }) => signal === 'metrics');
  if (!scrape.url || scrape.last_age !== null) {
    empty(box, '');
  } else if (!pushed) {
    empty(box, 'Nobody has scraped the metrics yet', `${besideContainers(scrape.url)}For Prometheus, in prometheus.yml:`, scrapeConfig(scrape.url, identity));
  } else if (isDown(pushed)) {
    empty(box, 'Nobody has scraped the metrics either', 'Prometheus can, once they are not pushed: OTEL_METRICS_EXPORTER=prometheus. What comes both ways is counted twice.');
  } else if (factOf(identity, 'otelmon.metrics.path') === 'scrape') {
    empty(box, 'Nobody has scraped the metrics yet', "They are marked to be scraped, so that the toolkit's Collector leaves out what is pushed of them. If nobody is to scrape, have the pushed ones kept:", 'OTELMON_METRICS_PATH=otlp');
  } else {
    empty(box, '');
  }
}

function besideContainers(url) {
  if (!/\/\/localhost\b/.test(url)) return '';
  return 'A Prometheus in a container does not find this service at localhost: there the target is the address of this machine, and OTEL_EXPORTER_PROMETHEUS_HOST=0.0.0.0 lets it in (this page then wants a password). ';
}

const factOf = (identity, wanted) => identity.find(({ name }) => name === wanted)?.value;

function scrapeConfig(url, identity) {
  const job = factOf(identity, 'service.name') ?? 'service';
  const [, scheme, target, path] = /^(https?):\/\/([^/]+)(.*)$/.exec(url) ?? [null, 'http', url, '/metrics'];
  const rest = [scheme === 'https' ? '    scheme: https\n' : '', path && path !== '/metrics' ? `    metrics_path: ${JSON.stringify(plain(path))}\n` : ''];
  return `scrape_configs:\n  - job_name: ${JSON.stringify(plain(job))}\n${rest.join('')}    static_configs:\n      - targets: [${JSON.stringify(plain(target))}]`;
}

function showPairs(list, pairs) {
  keyed(list, pairs, ([name]) => name, ([name]) => el('div', {}, el('dt', {}, name), el('dd')), (pair, [, value]) => setText(pair.lastChild, value));
}

// --- Sampling ---

const decisions = [['RECORD_AND_SAMPLE', 'sampled'], ['RECORD_ONLY', 'recorded only'], ['DROP', 'dropped']];

export function showSampling({ sampling, routes }) {
  const body = byId('sampling-body');
  if (!body.firstChild) {
    body.append(el('p', { class: 'big' }, el('b'), el('span', { class: 'note' })), el('div', { class: 'stack', 'aria-hidden': 'true' }), el('ul', { class: 'legend' }), el('p', { class: 'note' }), el('ol', { class: 'bars' }), el('div'));
  }
  const [big, stack, legend, rescued, list, nothing] = body.children;
  const total = sum(sampling.spans);
  const parts = decisions.map(([key, name]) => ({ name: key, label: name, n: sampling.spans[key] ?? 0 })).filter(({ n }) => n > 0);
  setText(big.firstChild, share(sampling.share));
  setText(big.lastChild, 'of the spans are sampled');
  setHidden(big, total === 0);
  showStack(stack, parts.map(({ name, n }) => ({ name, share: n / total })));
  keyed(legend, parts, ({ name }) => name, ({ name, label }) => el('li', {}, marker(name), `${label} `, el('b')), (item, { n }) => setText(item.lastChild, count(n)));
  setText(rescued, sampling.rescued > 0 ? `${plural(sampling.rescued, 'request')} kept although not sampled, because they failed or were slow` : '');
  const known = routes.filter((r) => r.sampled !== null).slice(0, 8);
  keyed(list, known, (r) => r.key, makeBar, (item, r) => updateBar(item, routeName(r).join(' ').trim(), share(r.sampled), r.sampled));
  empty(nothing, total === 0 ? 'No spans yet' : '', 'The share of traces that are kept shows up here, in total and by route.');
}

function makeBar() {
  return el('li', {}, el('span', { class: 'path' }), el('span', { class: 'num' }), el('i', { class: 'meter', 'aria-hidden': 'true' }, el('i', { class: 'bar' })));
}

function updateBar(item, name, value, part) {
  const [path, number, meter] = item.children;
  setText(path, name);
  setAttribute(path, 'title', name);
  setText(number, value);
  setWidth(meter.firstChild, part);
}

// --- Cardinality ---

export function showCardinality({ cardinality: { limit, instruments } }) {
  const body = byId('cardinality-body');
  if (!body.firstChild) body.append(el('ol', { class: 'bars' }), el('div'));
  const [list, advice] = body.children;
  setText(byId('cardinality-note'), limit > 0 ? `series of an instrument, ${count(limit)} at most` : 'series of an instrument');
  const listed = instruments.filter((i, at) => at < 12 || i.overflow);
  keyed(list, listed, (i) => i.name, makeBar, (item, i) => {
    updateBar(item, `${plain(i.name)}`, i.overflow ? `${count(i.series)} overflows` : count(i.series), limit > 0 ? i.series / limit : 0);
    item.classList.toggle('bad', i.overflow);
    setAttribute(item.firstChild, 'title', `${plain(i.name)}: ${plain(i.kind, 40)} in ${plain(i.unit, 40) || '1'}`);
  });
  const over = instruments.find((i) => i.overflow);
  if (over) empty(advice, `${plain(over.name)} has no room for more series`, 'What is new counts as otel.metric.overflow, without its attributes. Leave out an attribute that has too many values, such as a user or a path, by a view.');
  else empty(advice, instruments.length === 0 ? 'No instruments yet' : '', 'The largest ones show up here, so that an attribute with too many values is seen early.');
}

// --- Runtime, identity, configuration ---

export function showRuntime(values) {
  keyed(byId('runtime-values'), values, (v) => `${v.name} ${v.attributes ?? ''}`, (v) => el('div', {}, el('dt', {}, plain(v.name, 80), el('span', { class: 'note' }, v.attributes ? ` ${plain(v.attributes.replace(/^.*\./, ''), 60)}` : '')), el('dd')),
    (pair, v) => setText(pair.lastChild, v.name.endsWith('start_time') ? date(v.value) : quantity(v.value, v.unit)));
}

export function showIdentity(facts) {
  keyed(byId('identity-values'), facts, ({ name }) => name, ({ name }) => el('div', {}, el('dt', {}, plain(name, 100)), el('dd')), (pair, { value }) => setText(pair.lastChild, plain(value, 300)));
}

export function showSettings(settings) {
  const words = byId('configuration-filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = settings.filter((s) => words.every((word) => `${s.name} ${s.value} ${s.origin} ${s.field}`.toLowerCase().includes(word)));
  const order = { environment: 0, code: 0, default: 1 };
  found.sort((a, b) => Boolean(b.problem) - Boolean(a.problem) || (order[a.origin] ?? 0) - (order[b.origin] ?? 0));
  setText(byId('configuration-note'), found.length === settings.length ? plural(settings.length, 'setting') : `${count(found.length)} of ${count(settings.length)}`);
  keyed(byId('configuration-rows'), found, (s) => s.name, makeSetting, updateSetting);
}

function makeSetting() {
  return el('tr', {}, el('th', { scope: 'row' }, el('span', { class: 'path' })), el('td', {}, el('span', { class: 'path' }), el('p', { class: 'failure', hidden: true })), el('td', {}, el('span', { class: 'badge' }), el('span', { class: 'note' })));
}

function updateSetting(row, s) {
  const [name, value, origin] = row.children;
  setText(name.firstChild, plain(s.name, 100));
  setText(value.firstChild, s.value === '' ? none : plain(s.value, 600));
  setHidden(value.lastChild, !s.problem);
  setText(value.lastChild, plain(s.problem, 600));
  setText(origin.firstChild, plain(s.origin, 20));
  setAttribute(origin.firstChild, 'data-origin', plain(s.origin, 20));
  setText(origin.lastChild, s.field && s.field !== s.name ? ` ${plain(s.field, 80)}` : '');
}
