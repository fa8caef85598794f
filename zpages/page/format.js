// Numbers and texts as people read them. null is unknown, and says so by a dash.

export const none = '–';

const digits3 = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

const known = (x) => typeof x === 'number' && Number.isFinite(x);

// Units by size, the largest first. What rounds up to a unit is told in it.
const metric = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, '']];
const binary = [[2 ** 60, 'EiB'], [2 ** 50, 'PiB'], [2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']];
const time = [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs'], [1e-9, 'ns']];

function scaled(x, units) {
  const [size, unit] = units.find(([from]) => Math.abs(x) >= from * 0.9995) ?? units.at(-1);
  return `${digits3.format(x / size)} ${unit}`;
}

export function count(x) {
  if (!known(x)) return none;
  if (Number.isInteger(x) && Math.abs(x) < 1e5) return whole.format(x);
  return scaled(x, metric).trim();
}

// rate is such as "34.1 /s" and "1.2 k/s".
export function rate(x) {
  if (!known(x)) return none;
  return x > 0 && x < 0.001 ? '<0.001 /s' : `${scaled(x, metric)}/s`;
}

export function share(x) {
  if (!known(x)) return none;
  if (x > 0 && x < 0.0001) return '<0.01 %';
  if (x < 1 && x > 0.9995) return '>99.9 %';
  return `${digits3.format(x * 100)} %`;
}

export function duration(s) {
  if (!known(s)) return none;
  if (s === 0) return '0 s';
  return Math.abs(s) < 59.95 ? scaled(s, time) : age(s);
}

// percentile is a duration out of a histogram, whose first bucket ends at finest:
// what is in that is not known more exactly.
export function percentile(s, finest) {
  return known(s) && s <= finest ? `≤${duration(finest)}` : duration(s);
}

export function bytes(x) {
  return known(x) ? scaled(x, binary) : none;
}

// age is coarse, as in "3 min" and "2 h 5 min".
export function age(s) {
  if (!known(s)) return none;
  s = Math.max(0, Math.round(s));
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return minutes < 10 && s % 60 ? `${minutes} min ${s % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${hours / 24} d`;
}

export function money(amounts) {
  return amounts.map(({ currency, amount }) => `${digits3.format(amount)} ${plain(currency, 8)}`).join(' + ');
}

// quantity formats by a unit of UCUM, as OpenTelemetry names them.
export function quantity(x, unit) {
  if (!known(x)) return none;
  if (unit === 'By') return x >= 2 ** 62 ? 'no limit' : bytes(x);
  if (unit === 's') return duration(x);
  if (unit === '1') return count(x);
  if (unit === '%') return `${count(x)} %`;
  return unit.startsWith('{') ? count(x) : `${count(x)} ${plain(unit, 20)}`.trim();
}

export function clock(seconds, withSeconds) {
  return new Date(seconds * 1000).toLocaleTimeString('en-GB', withSeconds ? undefined : { hour: '2-digit', minute: '2-digit' });
}

// date is the local date and time, in the order of ISO 8601.
export function date(seconds) {
  return new Date(seconds * 1000).toLocaleString('sv');
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// What would not be seen, or would turn the text around it: controls, format
// characters (bidirectional ones among them) and surrogates alone.
const unseen = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu;

// plain makes text from outside harmless to look at, and not too long.
export function plain(text, most = 200) {
  text = String(text ?? '');
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(unseen, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

// lines is plain for text of several lines, such as a stack trace.
export function lines(text, most = 33000) {
  return String(text ?? '').slice(0, most).split(/\r?\n/)
    .map((line) => line.split('\t').map((part) => plain(part, most)).join('    ')).join('\n');
}
