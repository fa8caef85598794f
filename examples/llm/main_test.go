package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/internal/fakellm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// isolate keeps the program from real APIs, from the ports of others, and from
// a Collector. The tests that call run are not parallel: it sets the process's
// telemetry up, from variables.
func isolate(t *testing.T) {
	t.Helper()
	t.Setenv("DEEPSEEK_API_KEY", "")
	t.Setenv("OPENAI_API_KEY", "")
	for _, signal := range []string{"", "_TRACES", "_METRICS", "_LOGS"} {
		t.Setenv("OTEL_EXPORTER_OTLP"+signal+"_ENDPOINT", "")
	}
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
	logger := slog.Default()
	t.Cleanup(func() { slog.SetDefault(logger) })
}

// measured are the parts of the table that differ from run to run: times, and
// prices by the hour.
var measured = regexp.MustCompile(` *\d+\.\d+ (s|USD)\b`)

const wantTable = `
                           deepseek-flash  deepseek-v4-pro       gpt-5-nano
operations                             14                8               18
  succeeded                        92.9 %           87.5 %          100.0 %
attempts                               15                8               19
  aborted                               -                1                -
  ok                                   13                7               18
  rate limited                          1                -                -
  server error                          -                -                1
  truncated                             1                -                -
duration P50 s s s
         P99 s s s
in the queue P99                        - s                -
first token P50 s s                -
            P99 s s                -
first answer token P50 s s                -
                   P99 s s                -
tokens input uncached                2724             2358             2951
tokens input cached                 26624            12288            34816
tokens output answer                 2880             1370             3840
tokens output reasoning                 -             3900             1152
cache hits                         90.7 %           83.9 %           92.2 %
cost USD USD USD
wasted tokens                        2287                -                -
wasted cost USD                -                -
usage missing                           -                1                -
`

func TestRunPrintsTheTableAndServesMetrics(t *testing.T) {
	isolate(t)
	p := start(t, "-serve")
	text := p.until(t, "Until Ctrl-C: curl -s ")
	_, table, _ := strings.Cut(text, "Ctrl-C ends it.\n")
	table, last, _ := strings.Cut(table, "\nLive page: ")
	live, last, _ := strings.Cut(last, "\nUntil")
	if diff := cmp.Diff(wantTable, measured.ReplaceAllString(table, " $1")); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(measured.ReplaceAllString(string(readme), " $1"), "```"+wantTable+"```") {
		t.Error("the table in the README is another one")
	}
	url, _, _ := strings.Cut(strings.TrimPrefix(last, " Ctrl-C: curl -s "), " ")
	page := get(t, url)
	for _, want := range []string{"otelmon_llm_attempts_total{", "gen_ai_client_operation_duration_seconds_bucket{", "otelmon_llm_cost_total{"} {
		if !strings.Contains(page, "\n"+want) {
			t.Errorf("the metrics page does not have %s", want)
		}
	}
	if data := get(t, live+"data"); !strings.Contains(data, `"model":"deepseek-flash"`) {
		t.Errorf("the live page does not have deepseek-flash: %s", data)
	}
	p.interrupt(t)
}

func TestRunEndsWithTheTableSoFar(t *testing.T) {
	isolate(t)
	p := start(t)
	p.until(t, "Ctrl-C ends it.")
	text := p.interrupt(t)
	if !strings.Contains(text, "\noperations ") && !strings.Contains(text, "No call has ended.") {
		t.Errorf("there is no table:\n%s", text)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel() // nothing is set up
	tests := map[string]struct {
		args []string
		want string
	}{
		"an argument":             {[]string{"now"}, "llm: unexpected argument \"now\"; see -help\n"},
		"a flag it does not have": {[]string{"-forever"}, "flag provided but not defined: -forever\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), test.args, &stdout, &stderr); code != 2 {
				t.Errorf("exit code: got %d, want 2", code)
			}
			if !strings.HasPrefix(stderr.String(), test.want) {
				t.Errorf("got message %q, want %q", &stderr, test.want)
			}
		})
	}
}

func TestKeysChooseTheRealAPIs(t *testing.T) {
	t.Parallel()
	const key = "sk-canary"
	tests := map[string]struct {
		environment map[string]string
		wantHosts   []string
		want        string
	}{
		"none": {},
		"DeepSeek's": {
			environment: map[string]string{"DEEPSEEK_API_KEY": key},
			wantHosts:   []string{"https://api.deepseek.com"},
			want:        "2 calls of deepseek-flash, at most 100 tokens in and 500 out each: 0.00063 USD at most.\n",
		},
		"both": {
			environment: map[string]string{"DEEPSEEK_API_KEY": key, "OPENAI_API_KEY": key},
			wantHosts:   []string{"https://api.deepseek.com", "https://api.openai.com/v1"},
			want: "2 calls of deepseek-flash, at most 100 tokens in and 500 out each: 0.00063 USD at most.\n" +
				"2 calls of gpt-5-nano, at most 100 tokens in and 500 out each: 0.00041 USD at most.\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sessions := realSessions(func(variable string) string { return test.environment[variable] })
			var hosts []string
			for _, s := range sessions {
				hosts = append(hosts, s.api.base)
			}
			if diff := cmp.Diff(test.wantHosts, hosts); diff != "" {
				t.Errorf("APIs (-want +got):\n%s", diff)
			}
			saturday := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
			if diff := cmp.Diff(test.want, announcement(sessions, saturday)); diff != "" {
				t.Errorf("announcement (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAskLimitsItselfAndKeepsTheKeyToItself(t *testing.T) {
	isolate(t)
	const key = "sk-canary"
	t.Setenv("DEEPSEEK_API_KEY", key)
	var bodies []string
	status := http.StatusOK
	upstream := fakellm.New(func(r fakellm.Request) fakellm.Answer {
		if got := r.Header.Get("Authorization"); got != "Bearer "+key {
			t.Errorf("got Authorization %q", got)
		}
		bodies = append(bodies, string(r.Body))
		return fakellm.Answer{Text: "Hello!", Status: status, Usage: fakellm.Usage{UncachedInput: 11, AnswerTokens: 2}}
	})
	server := httptest.NewServer(upstream)
	defer server.Close()
	reader := sdkmetric.NewManualReader()
	var log bytes.Buffer
	sdk := startTelemetry(t.Context(), reader, &log)
	defer stopTelemetry(t.Context(), sdk)

	sessions := realSessions(os.Getenv)
	sessions[0].api.base = server.URL
	for _, q := range sessions[0].questions {
		text, err := ask(t.Context(), newClient(sessions), sessions[0].api, q)
		if err != nil || text != "Hello!" {
			t.Errorf("got %q and error %v, want Hello!", text, err)
		}
	}
	for _, body := range bodies {
		if !strings.Contains(body, `"max_tokens":500`) {
			t.Errorf("the request does not limit its output: %s", body)
		}
	}
	status = http.StatusUnauthorized
	err := hold(t.Context(), newClient(sessions), sessions)
	if err == nil || err.Error() != "deepseek-flash: refused: 401 Unauthorized" {
		t.Errorf("got error %v, want that the API refuses", err)
	}
	var table bytes.Buffer
	if err := report(t.Context(), reader, &table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "\n  unauthorized                          1\n") {
		t.Errorf("the table does not have the refusal:\n%s", &table)
	}
	if text := table.String() + log.String(); strings.Contains(text, "canary") {
		t.Errorf("the key is in the output:\n%s", text)
	}
}

func TestQuantilesAreThoseOfPrometheus(t *testing.T) {
	t.Parallel()
	boundaries := []float64{1, 2, 4}
	tests := map[string]struct {
		q      float64
		counts []uint64
		want   float64
	}{
		"nothing was measured":                   {0.5, []uint64{0, 0, 0, 0}, math.NaN()},
		"the first bucket begins at 0":           {0.5, []uint64{10, 0, 0, 0}, 0.5},
		"values are spread evenly in a bucket":   {0.75, []uint64{0, 10, 10, 0}, 3},
		"the rank at a boundary is the boundary": {0.5, []uint64{0, 10, 10, 0}, 2},
		"the last boundary is the highest value": {0.99, []uint64{0, 0, 0, 10}, 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := interpolate(test.q, boundaries, test.counts)
			if got != test.want && !(math.IsNaN(got) && math.IsNaN(test.want)) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// program is the example while it runs.
type program struct {
	end   context.CancelFunc
	lines *bufio.Reader
	log   bytes.Buffer // to be read after the end
	code  chan int
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, in := io.Pipe()
	p := &program{end: cancel, lines: bufio.NewReader(out), code: make(chan int, 1)}
	go func() {
		code := run(ctx, args, in, &p.log)
		_ = in.Close()
		p.code <- code
	}()
	return p
}

// until returns the output up to the line with the text.
func (p *program) until(t *testing.T, text string) string {
	t.Helper()
	var read strings.Builder
	for {
		line, err := p.lines.ReadString('\n')
		read.WriteString(line)
		if strings.Contains(line, text) {
			return read.String()
		}
		if err != nil {
			t.Fatalf("the program ended without %q:\n%s", text, &read)
		}
	}
}

// interrupt ends the program as Ctrl-C does, and returns the rest of the
// output.
func (p *program) interrupt(t *testing.T) string {
	t.Helper()
	p.end()
	rest, err := io.ReadAll(p.lines)
	if err != nil {
		t.Fatal(err)
	}
	if code := <-p.code; code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, &p.log)
	}
	if p.log.Len() > 0 {
		t.Errorf("got log %q, want none", &p.log)
	}
	return string(rest)
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
