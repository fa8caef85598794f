// What the page remembers of the course of things: at most 15 minutes.

const most = 15 * 60;

// Points are columns over time, oldest first, that each answer continues.
export class Points {
  seq = 0;
  x = [];
  columns = {};
  #offset = null; // from the uptime of the service to the time of day here
  #uptime = 0;

  // restarted reports whether an answer is of another process than the last one:
  // what it counts begins again, and it may have points that were not asked for.
  restarted({ seq, uptime }) {
    return seq < this.seq || uptime < this.#uptime;
  }

  restart() {
    this.seq = 0;
    this.#uptime = 0;
    this.#offset = null;
    if (this.x.length > 0) this.#push(this.x.at(-1) + 0.001, () => null); // a gap in the lines
  }

  // add takes an answer that arrived at the time `now`, in seconds.
  add({ seq, uptime, points }, now) {
    this.#setOffset(now - uptime);
    const end = this.#offset + uptime;
    const { age, ...columns } = points;
    this.#cut((x) => age.length === 0 || x < end - age[0]);
    age.forEach((a, i) => this.#push(end - a, (name) => columns[name]?.[i] ?? null, Object.keys(columns)));
    this.#cut((x) => x >= end - most - 10);
    this.seq = seq;
    this.#uptime = uptime;
    return end;
  }

  // #setOffset moves all points when a clock was set, or when this computer slept.
  #setOffset(offset) {
    const moved = this.#offset === null ? 0 : offset - this.#offset;
    if (this.#offset !== null && Math.abs(moved) < 5) return;
    this.x = this.x.map((x) => x + moved);
    this.#offset = offset;
  }

  #push(x, value, names = Object.keys(this.columns)) {
    for (const name of names) this.columns[name] ??= this.x.map(() => null);
    this.x.push(x);
    for (const name of Object.keys(this.columns)) this.columns[name].push(value(name));
  }

  #cut(keep) {
    if (this.x.every(keep)) return;
    const kept = this.x.map(keep);
    for (const name of Object.keys(this.columns)) this.columns[name] = this.columns[name].filter((_, i) => kept[i]);
    this.x = this.x.filter((_, i) => kept[i]);
  }

  column(name) {
    return this.columns[name] ?? this.x.map(() => null);
  }
}
