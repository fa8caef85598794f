package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/llm/price"
	"github.com/otelmon/toolkit/otelmon"

	"github.com/otelmon/toolkit/e2e/harness"
)

// A way is how calls reach an upstream of their own.
type way struct {
	upstream  *fakellm.Upstream
	url       string // for clients
	transport http.RoundTripper
	page      func(*testing.T) harness.Page // nil where nothing is measured
	truth     told
	series    []string        // that were told of the libraries' calls
	results   map[string]seen // by client and scenario
	stop      func(*testing.T) (log string)
}

// testClients has clients that nobody here wrote call an upstream directly,
// through the transport in this process, and through the proxy: they get the same,
// and what is told of it is the truth.
func testClients(t *testing.T, command string) {
	collector := faultcollector.Start(t)
	prices := priceFile(t, slices.Concat(sorted(models()), []string{answeringModel}))
	ways := map[string]*way{
		"directly":              newWay(t, answers),
		"through the transport": newTransportWay(t, collector, prices, false),
		"through the transport that asks for usage": newTransportWay(t, collector, prices, true),
		"through the proxy":                         newProxyWay(t, command, collector, prices),
		"through the proxy that asks for usage":     newProxyWay(t, command, collector, prices, "--include-usage"),
	}
	t.Run("calls", func(t *testing.T) {
		for name, w := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w.callAll(t)
			})
		}
	})
	direct := ways["directly"]
	for name, w := range ways {
		if diff := cmp.Diff(direct.results, w.results, cmpopts.IgnoreMapEntries(byCurlOnly(w))); diff != "" {
			t.Errorf("what clients get %s (-directly +so):\n%s", name, diff)
		}
	}
	for _, kind := range []string{"", " that asks for usage"} {
		want, got := ways["through the transport"+kind].series, ways["through the proxy"+kind].series
		if diff := cmp.Diff(want, got); diff != "" || len(want) < 500 {
			t.Errorf("series of LLM APIs%s, %d of them (-transport +proxy):\n%s", kind, len(want), diff)
		}
	}
	wantNoCanary(t, ways, collector)
}

// byCurlOnly leaves out what cannot be called within this process.
func byCurlOnly(w *way) func(call string, _ seen) bool {
	return func(call string, _ seen) bool {
		_, called := w.results[call]
		return strings.HasPrefix(call, curl) && !called
	}
}

// newWay is a way without anything between.
func newWay(t *testing.T, next func(fakellm.Request) fakellm.Answer) *way {
	t.Helper()
	w := &way{upstream: fakellm.New(next), truth: told{}, results: map[string]seen{}}
	server := httptest.NewServer(w.upstream)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	w.url, w.transport = server.URL, transport
	return w
}

func newTransportWay(t *testing.T, collector *faultcollector.Collector, prices string, asks bool) *way {
	t.Helper()
	var log strings.Builder
	sdk, err := otelmon.Setup(t.Context(), otelmon.Config{
		ServiceName: "transport", DisableGlobals: true, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Prometheus: exporters.Prometheus{Address: "127.0.0.1:0"}, OTLP: exporters.OTLP{Endpoint: "http://" + collector.GRPC},
	})
	if err != nil {
		t.Fatal(err)
	}
	book, err := price.ReadFile(prices)
	if err != nil {
		t.Fatal(err)
	}
	w := newWay(t, answers)
	w.transport = llm.Transport(w.transport, llm.Config{
		TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(),
		Providers: map[string]string{"127.0.0.1": "deepseek"}, Prices: book.Over(price.Default()), IncludeUsage: asks,
		Models: sorted(models()), Caller: func(r *http.Request) string { return r.Header.Get(clientHeader) }, Callers: sorted(libraries()),
	})
	w.stop = func(t *testing.T) string {
		t.Helper()
		if err := sdk.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		return log.String()
	}
	w.page = func(t *testing.T) harness.Page {
		t.Helper()
		page, err := harness.ReadPage(sdk.MetricsURL())
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	return w
}

func newProxyWay(t *testing.T, command string, collector *faultcollector.Collector, prices string, args ...string) *way {
	t.Helper()
	w := newWay(t, answers)
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector.GRPC, "OTEL_METRIC_EXPORT_INTERVAL=5000"}
	args = append(args, "--upstream", w.url, "--provider", "deepseek", "--prices", prices, "--caller-header", clientHeader)
	for _, client := range append(sorted(libraries()), curl) {
		args = append(args, "--caller-allow", client)
	}
	for model := range models() {
		args = append(args, "--model", model)
	}
	p := harness.StartProxy(t, command, env, args...)
	w.url = p.URL
	w.page = func(t *testing.T) harness.Page { return p.Page(t) }
	w.stop = func(t *testing.T) string {
		t.Helper()
		p.Terminate(t)
		p.Wait(t, arrival)
		return p.Output()
	}
	return w
}

// models are those of the scenarios, which are chosen by them.
func models() map[string]scenario {
	models := map[string]scenario{}
	for title, s := range scenarios() {
		models[modelOf(title)] = s
	}
	return models
}

func modelOf(title string) string {
	return strings.ReplaceAll(strings.ReplaceAll(title, ",", ""), " ", "-")
}

// answers is what upstreams answer.
func answers(r fakellm.Request) fakellm.Answer {
	s, again := byModel[r.Model], r.Header.Get("X-Stainless-Retry-Count")
	if s.then != (fakellm.Answer{}) && again != "" && again != "0" {
		return s.then
	}
	return s.answer
}

var byModel = models()

// rates are prices per million tokens, all different.
var rates = map[string]float64{
	"input_uncached": 1.5, "input_cached": 0.15, "input_cache_write": 1.75, "output_answer": 6, "output_reasoning": 7,
}

// priceFile has the same rates for all models.
func priceFile(t *testing.T, models []string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("models:\n")
	for _, model := range models {
		fmt.Fprintf(&text, "  - {provider: deepseek, name: %q, currency: EUR, prices: [{from: 2026-01-01, input: %v, cached_input: %v, "+
			"cache_write: %v, output: %v, reasoning: %v}]}\n", model, rates["input_uncached"], rates["input_cached"],
			rates["input_cache_write"], rates["output_answer"], rates["output_reasoning"])
	}
	path := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// callAll makes the calls of all clients, one after the other and in the same
// order each time. Curl is last, for it cannot go all ways.
func (w *way) callAll(t *testing.T) {
	all := libraries()
	for _, client := range sorted(all) {
		for _, title := range sorted(scenarios()) {
			s := scenarios()[title]
			if call := all[client].calls[s.api]; call != nil {
				w.call(t, client, title, s, all[client].retries, call)
			}
		}
	}
	w.series = seriesOfLLM(w.compare(t))
	if _, measured := w.transport.(*http.Transport); !measured {
		return // curl is no part of this process
	}
	t.Run(curl, func(t *testing.T) {
		if _, err := exec.LookPath(curl); err != nil {
			t.Skip("curl is not installed, so that nothing was tried with it")
		}
		for _, title := range sorted(scenarios()) {
			if s := scenarios()[title]; s.leaves == 0 {
				w.call(t, curl, title, s, false, (*exchange).runCurl)
			}
		}
		w.compare(t)
	})
}

// call makes the call of a scenario, and notes what is to be told of it.
func (w *way) call(t *testing.T, client, title string, s scenario, retries bool, call func(*exchange)) {
	t.Helper()
	earlier := len(w.upstream.Records())
	w.results[client+", "+title] = w.make(t, client, title, s, call)
	if s.twice {
		w.results[client+", "+title+", again"] = w.make(t, client, title, s, call)
	}
	records, want := w.upstream.Records()[earlier:], 0.0
	for attempt, n := range s.attemptsOf(retries) {
		w.truth["attempts: "+client+","+modelOf(title)+","+attempt] += n
		want += n
	}
	if want != float64(len(records)) {
		t.Errorf("%s, %s: %d requests came, not %v", client, title, len(records), want)
	}
	for _, r := range records {
		w.truth.count(r, client, s.outcome())
	}
	if s.missing != "" && (s.missing != "not_requested" || !records[0].IncludeUsage) {
		w.truth["missing usage: "+client+","+modelOf(title)+","+s.missing]++
	}
}

// make makes a call, and returns once the upstream has seen its end.
func (w *way) make(t *testing.T, client, title string, s scenario, call func(*exchange)) seen {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	x := &exchange{
		scenario: s, client: client, model: modelOf(title), url: w.url,
		http: &http.Client{Transport: w.transport}, ctx: ctx, leave: leave,
	}
	got := x.make(call)
	if err := w.upstream.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return got
}

// attemptsOf are those that are told of a client that tries again, and says so,
// or of one that does not.
func (s scenario) attemptsOf(retries bool) map[string]float64 {
	switch {
	case retries:
		return s.attempts
	case s.others != nil:
		return s.others
	}
	firsts := maps.Clone(s.attempts)
	maps.DeleteFunc(firsts, func(attempt string, _ float64) bool { return !strings.HasSuffix(attempt, ",first") })
	return firsts
}

// compare waits until all is told, and compares it with the truth.
func (w *way) compare(t *testing.T) (page harness.Page) {
	t.Helper()
	if w.page == nil {
		return nil
	}
	harness.Eventually(t, 20*time.Second, "the truth on the page of metrics", func() error {
		page = w.page(t)
		return w.truth.differ(toldBy(page))
	})
	return page
}

// outcome is that of the call that has a usage: one that was refused has none.
func (s scenario) outcome() string {
	if s.attempts["ok,first"]+s.attempts["ok,retry"] > 0 {
		return "ok"
	}
	outcome, _, _ := strings.Cut(sorted(s.attempts)[0], ",")
	return outcome
}

// seriesOfLLM are the names and labels, but for those of the identity and of
// the port of the upstream.
func seriesOfLLM(page harness.Page) []string {
	var all []string
	for _, s := range page {
		name := s.Labels["__name__"]
		if !strings.HasPrefix(name, "gen_ai_") && !strings.HasPrefix(name, "otelmon_llm_") {
			continue
		}
		labels := maps.Clone(s.Labels)
		for _, own := range []string{"service_name", "service_version", "service_instance_id", "server_port"} {
			delete(labels, own)
		}
		all = append(all, fmt.Sprint(labels))
	}
	slices.Sort(all)
	return all
}

// wantNoCanary ends all ways, so that everything is delivered, and looks into
// all that was shown, printed and sent.
func wantNoCanary(t *testing.T, ways map[string]*way, collector *faultcollector.Collector) {
	t.Helper()
	texts, calls := map[string]string{}, 0
	for name, w := range ways {
		if w.page == nil {
			continue
		}
		calls += len(w.upstream.Records())
		texts["metrics "+name] = fmt.Sprint(w.page(t))
		texts["log "+name] = w.stop(t)
	}
	got := collector.Received()
	if got.Spans < calls || got.DataPoints == 0 || got.LogRecords == 0 {
		t.Errorf("%d spans, %d data points and %d log records arrived, of %d calls", got.Spans, got.DataPoints, got.LogRecords, calls)
	}
	for i, m := range got.Traces {
		texts[fmt.Sprint("request of traces ", i)] = m.String()
	}
	for i, m := range got.Metrics {
		texts[fmt.Sprint("request of metrics ", i)] = m.String()
	}
	for i, m := range got.Logs {
		texts[fmt.Sprint("request of logs ", i)] = m.String()
	}
	for where, text := range texts {
		for _, canary := range []string{canaryKey, canaryPrompt, canaryCompletion, canaryUser, canaryQuery} {
			if strings.Contains(text, canary) {
				t.Errorf("%s: has %s", where, canary)
			}
		}
	}
}
