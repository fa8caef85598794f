package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
	"github.com/otelmon/toolkit/zpages"

	"github.com/otelmon/toolkit/e2e/harness"
)

// drive is a module of JavaScript that has the page's points remember what a
// service tells, without waiting for it: once every 2 s by the time `now`. A point
// of a process has as rate how old that process was.
const drive = `
const { Points } = await import('./points.js');
const points = new Points();
let now = 1e9; // s, of this computer
let numbers = 0;

class Process {
  constructor() {
    this.uptime = 0;
    this.seq = numbers += 1e6; // as of a clock: no earlier process had them
    this.told = [];
  }
  live(seconds) {
    for (const until = this.uptime + seconds; this.uptime < until;) {
      this.uptime += 2;
      this.told.push({ seq: ++this.seq, at: this.uptime });
    }
    this.told = this.told.slice(-450);
    now += seconds;
  }
  answer() {
    const known = this.told.some(({ seq }) => seq === points.seq);
    const told = this.told.filter(({ seq }) => !known || seq > points.seq);
    return { seq: this.seq, uptime: this.uptime, points: { age: told.map(({ at }) => this.uptime - at), rate: told.map(({ at }) => at) } };
  }
}

// look asks as the page does.
function look(process) {
  if (points.restarted(process.answer())) points.restart();
  points.add(process.answer(), now);
}

function watch(process, seconds) {
  for (const until = process.uptime + seconds; process.uptime < until;) {
    process.live(2);
    look(process);
  }
}

// course is what the page would draw, from the oldest point to now.
function course() {
  const { x } = points;
  const rates = points.column('rate');
  return {
    ascending: x.every((at, i) => i === 0 || at > x[i - 1]),
    complete: rates.length === x.length,
    points: x.length,
    oldest: Math.round(now - x[0]),
    latest: Math.round(now - x.at(-1)),
    rates: [rates[0], rates.at(-1)],
    gaps: rates.filter((r) => r === null).length,
  };
}
`

// course is what the page would draw after a drive: how many points, the ages in
// seconds of the first and the last one with their rates, and how many gaps.
type course struct {
	Ascending bool    `json:"ascending"`
	Complete  bool    `json:"complete"`
	Points    int     `json:"points"`
	Oldest    float64 `json:"oldest"`
	Latest    float64 `json:"latest"`
	Rates     [2]int  `json:"rates"`
	Gaps      int     `json:"gaps"`
}

func TestLivePageRemembersPoints(t *testing.T) {
	b := openScripts(t)
	for name, test := range map[string]struct {
		script string
		want   course
	}{
		"an hour leaves the last 15 minutes, and 10 s": {
			`watch(new Process(), 3600)`,
			course{Points: 456, Oldest: 910, Rates: [2]int{2690, 3600}},
		},
		"a page that is opened late gets what the service kept": {
			`const p = new Process(); p.live(7200); look(p)`,
			course{Points: 450, Oldest: 898, Rates: [2]int{6302, 7200}},
		},
		"a page that was asleep for a minute misses nothing": {
			`const p = new Process(); watch(p, 100); p.live(60); watch(p, 100)`,
			course{Points: 130, Oldest: 258, Rates: [2]int{2, 260}},
		},
		"a restart leaves a gap": {
			`watch(new Process(), 100); watch(new Process(), 20)`,
			course{Points: 61, Oldest: 120 - 2, Rates: [2]int{2, 20}, Gaps: 1},
		},
		"a restart that was not seen, of a process that is younger than the last one was": {
			`watch(new Process(), 100); now += 30; const p = new Process(); p.live(50); watch(p, 2)`,
			course{Points: 77, Oldest: 180, Rates: [2]int{2, 52}, Gaps: 1},
		},
		"a restart that was not seen, of a process that is older by now": {
			`watch(new Process(), 20); const p = new Process(); p.live(1800); watch(p, 20)`,
			course{Points: 456, Oldest: 910, Rates: [2]int{910, 1820}},
		},
		"the clock here an hour back": {
			`const p = new Process(); watch(p, 100); now -= 3600; watch(p, 100)`,
			course{Points: 100, Oldest: 198, Rates: [2]int{2, 200}},
		},
		"the clock here an hour ahead": {
			`const p = new Process(); watch(p, 100); now += 3600; watch(p, 100)`,
			course{Points: 100, Oldest: 198, Rates: [2]int{2, 200}},
		},
		"two services in turn at one address": {
			`const p = new Process(), q = new Process(); q.live(500); for (let i = 0; i < 300; i++) { watch(p, 2); now -= 2; watch(q, 2); }`,
			course{Points: 456, Oldest: 910, Rates: [2]int{190, 1100}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Ascending, test.want.Complete = true, true
			got := evaluate[course](t, b, fmt.Sprintf("(async () => {%s\n%s; return course(); })()", drive, test.script))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// openScripts opens a page whose modules can be imported.
func openScripts(t *testing.T) *harness.Browser {
	t.Helper()
	b := harness.StartBrowser(t)
	s := startWatched(t, "127.0.0.1:0")
	t.Cleanup(func() { s.stop(t) })
	b.Do(t, chromedp.Navigate(zpages.URL(s.sdk)), chromedp.WaitVisible(chromedp.CSS("#exporters-cards article")))
	return b
}

// What the page advises must not have metrics counted twice: docs/paths.md.
func TestLivePageAdvisesOneWayForMetrics(t *testing.T) {
	const (
		arrives   = `{ signal: 'metrics', up: true, since: 60, lost: {}, queue_items: 0 }`
		idle      = `{ signal: 'metrics', up: false, since: null, lost: {}, queue_items: 0 }`
		lost      = `{ signal: 'metrics', up: false, since: 60, lost: {}, queue_items: 0 }`
		lostSpans = `{ signal: 'traces', up: false, since: 60, lost: {}, queue_items: 0 }`
		noPage    = `{ url: '', scrapes: 0, last_age: null }`
		unasked   = `{ url: 'http://localhost:9464/metrics', scrapes: 0, last_age: null }`
		elsewhere = `{ url: 'https://10.0.0.7:9464/metrics', scrapes: 0, last_age: null }`
		asked     = `{ url: 'http://localhost:9464/metrics', scrapes: 1, last_age: 3 }`
	)
	const nothing, down, unscraped = "Nothing leaves this service", "No Collector answers", "Nobody has scraped the metrics"
	const noTraces, noMetrics, keepPushed = "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=prometheus", "OTELMON_METRICS_PATH=otlp"
	pieces := []string{nothing, down, unscraped, "job_name", "0.0.0.0", "scheme: https", noTraces, noMetrics, keepPushed}
	b := openScripts(t)
	for name, test := range map[string]struct {
		pushes, scrape, path string
		want                 []string // of the pieces
	}{
		"pushed metrics arrive":                       {pushes: arrives, scrape: unasked, path: "otlp"},
		"nothing was pushed yet":                      {pushes: idle, scrape: unasked, path: "otlp"},
		"metrics are scraped":                         {scrape: asked, path: "scrape"},
		"pushed metrics arrive and are left out":      {arrives, unasked, "scrape", []string{unscraped, keepPushed}},
		"metrics are not pushed":                      {"", unasked, "scrape", []string{unscraped, "job_name", "0.0.0.0"}},
		"metrics are not pushed, the page is beyond":  {"", elsewhere, "scrape", []string{unscraped, "job_name", "scheme: https"}},
		"the Collector is down, nobody scrapes":       {lost, unasked, "otlp", []string{down, unscraped, noMetrics}},
		"the Collector is down for traces alone":      {lostSpans, unasked, "scrape", []string{down, unscraped, "job_name", "0.0.0.0", noTraces}},
		"the Collector is down, metrics are untried":  {lostSpans + "," + idle, unasked, "otlp", []string{down, noTraces, noMetrics}},
		"the Collector is down, metrics are scraped":  {lost, asked, "otlp", []string{down, noMetrics}},
		"metrics neither are pushed nor can be asked": {"", noPage, "scrape", []string{nothing}},
	} {
		t.Run(name, func(t *testing.T) {
			said := evaluate[string](t, b, fmt.Sprintf(`import('./panels.js').then(({ showExporters }) => {
				showExporters({ pushes: [%s], scrape: %s, identity: [{ name: 'service.name', value: 'shop' }, { name: 'otelmon.metrics.path', value: %q }] });
				return [...document.querySelectorAll('#exporters .empty')].map(({ textContent }) => textContent).join('\n');
			})`, test.pushes, test.scrape, test.path))
			var got []string
			for _, piece := range pieces {
				if strings.Contains(said, piece) {
					got = append(got, piece)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s\nthe page says %q", diff, said)
			}
		})
	}
}

func TestLivePageTellsNumbers(t *testing.T) {
	b := openScripts(t)
	for name, test := range map[string]struct{ script, want string }{
		"a percentile within the first bucket is told as that":  {"(await import('./format.js')).percentile(0.00042, 0.001)", "≤1 ms"},
		"a percentile beyond the first bucket is interpolated":  {"(await import('./format.js')).percentile(0.0042, 0.001)", "4.2 ms"},
		"a percentile of nothing is not known":                  {"(await import('./format.js')).percentile(null, 0.001)", "–"},
		"the legend of a line that goes on tells its end":       {legend("[1, null, 3]"), "3: now 3, between 1 and 3"},
		"the legend of a line that has ended tells that it has": {legend("[1, 2, null]"), "–: now –, between 1 and 2"},
		"the legend of no line tells nothing":                   {legend("[null, null, null]"), "–: –"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := evaluate[string](t, b, fmt.Sprintf("(async () => %s)()", test.script)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// legend is an expression for what a chart of a column tells to the eye and to the
// ear.
func legend(column string) string {
	return fmt.Sprintf(`import('./charts.js').then(({ Chart }) => {
		const box = document.createElement('div');
		const chart = new Chart(box, { title: '', format: (v) => v ?? '–', series: [{ name: '', color: 'rate' }] });
		chart.show([0, 3], [1, 2, 3], [%s]);
		return box.querySelector('.legend b').textContent + box.querySelector('.plot').ariaLabel;
	})`, column)
}
