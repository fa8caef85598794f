package e2e_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/fakellm"

	"github.com/otelmon/toolkit/e2e/harness"
)

// A world is one of each program that ships, in a deployment environment of its
// own. All worlds get the same traffic at the same time, and differ in how their
// metrics reach Prometheus.
type world struct {
	environment string
	variables   []string // of the programs' environment
	shop        string   // URL of the program quickstart
	proxy       *harness.Proxy
}

// The names that services have in every world.
const (
	shopService   = "quickstart"
	llmService    = "llm"
	proxyService  = "llm-proxy"
	faultyService = "faulty"
)

// The environments: metrics by the scrape alone, by OTLP alone, by both, and by
// OTLP with native histograms.
const (
	scraped = "scrape"
	pushed  = "otlp"
	both    = "both"
	native  = "native"
)

func worlds() map[string]*world {
	all := map[string]*world{}
	for environment, variables := range map[string][]string{
		scraped: {"OTEL_METRICS_EXPORTER=prometheus", "OTELMON_METRICS_PATH=scrape"},
		pushed:  nil, // and no page is scraped
		both:    nil,
		native:  {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=base2_exponential_bucket_histogram"},
	} {
		all[environment] = &world{environment: environment, variables: variables}
	}
	return all
}

// isScraped says that Prometheus fetches the pages of a world.
func (w *world) isScraped() bool { return w.environment == scraped || w.environment == both }

// programs are the paths of what runs in a world.
type programs struct{ quickstart, llm, otelmon string }

func (w *world) start(t *testing.T, stack *harness.Stack, p programs) {
	t.Helper()
	w.shop = w.startShop(t, stack, p.quickstart)
	harness.Start(t, w.env(t, stack, llmService), p.llm, "-serve")
	w.startProxy(t, stack, p.otelmon)
	w.startFaulty(t, stack)
	w.startOther(t, stack)
}

// env is the environment of a program, whose page is scraped where it is to be.
func (w *world) env(t *testing.T, stack *harness.Stack, name string) []string {
	t.Helper()
	page := harness.FreeAddress(t)
	_, port, err := net.SplitHostPort(page)
	if err != nil {
		t.Fatal(err)
	}
	if w.isScraped() {
		stack.Scrape(t, page)
	}
	env := append(telemetryEnv(stack, name), "OTEL_EXPORTER_PROMETHEUS_PORT="+port, "GOMEMLIMIT=1GiB")
	for i, v := range env {
		v = strings.Replace(v, "deployment.environment.name="+environment, "deployment.environment.name="+w.environment, 1)
		if strings.HasPrefix(v, "OTEL_RESOURCE_ATTRIBUTES=") {
			v += ",cloud.provider=aws,cloud.region=eu-central-1"
		}
		env[i] = v
	}
	return append(env, w.variables...)
}

// startShop starts the program quickstart and returns its URL.
func (w *world) startShop(t *testing.T, stack *harness.Stack, quickstart string) string {
	t.Helper()
	address := harness.FreeAddress(t)
	p := harness.Start(t, w.env(t, stack, shopService), quickstart, "-addr", address, "-load", "0")
	url := "http://" + address
	harness.Eventually(t, patience, "start of "+shopService, func() error {
		if err := p.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := harness.Get(url + "/healthz")
		return err
	})
	return url
}

// startProxy starts the proxy in front of a fake of an LLM API, and of an
// address that nothing listens on.
func (w *world) startProxy(t *testing.T, stack *harness.Stack, otelmon string) {
	t.Helper()
	upstream := fakellm.New(llmAnswer)
	upstream.Keep(0)
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	config := filepath.Join(t.TempDir(), "proxy.yaml")
	text := `upstreams:
  - {prefix: /llm, url: "` + server.URL + `", provider: deepseek, name: fake}
  - {prefix: /gone, url: "http://` + harness.FreeAddress(t) + `", provider: openai, name: gone}
models: [` + strings.Join(sorted(llmModels()), ", ") + `]
prices_file: ` + priceFile(t, []string{"steady", "flaky", "broken", "short", "again", "silent", "left"}) + `
caller: {header: ` + clientHeader + `, allowed: [search, support]}
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.proxy = harness.StartProxy(t, otelmon, w.env(t, stack, proxyService), "--config", config)
	if w.isScraped() {
		stack.Scrape(t, strings.TrimPrefix(w.proxy.Metrics, "http://"))
	}
}

// usdModel has a price of its own, in the currency of the proxy's budget.
const usdModel = "deepseek-flash"

// llmModels are what the fake does, by the model that is asked for.
func llmModels() map[string]fakellm.Answer {
	steady := rich(fakellm.DeepSeek)
	steady.Queue, steady.KeepAlive = 20*time.Millisecond, 10*time.Millisecond
	steady.FirstToken, steady.Think, steady.Between = 10*time.Millisecond, 20*time.Millisecond, 2*time.Millisecond
	return map[string]fakellm.Answer{
		"steady":   steady,
		"flaky":    {Status: http.StatusTooManyRequests, RetryAfter: time.Second},
		"broken":   {Status: http.StatusInternalServerError},
		"short":    with(plain(fakellm.DeepSeek), func(a *fakellm.Answer) { a.FinishReason = "length" }),
		"again":    plain(fakellm.DeepSeek),
		"silent":   with(plain(fakellm.OpenAI), func(a *fakellm.Answer) { a.NoUsage = true }),
		"unpriced": plain(fakellm.OpenAI),
		usdModel:   plain(fakellm.DeepSeek),
		"left":     cut(fakellm.CutHang),
	}
}

var llmAnswers = llmModels()

// llmAnswer is that of a model; to a request that is tried again it is a good one.
func llmAnswer(r fakellm.Request) fakellm.Answer {
	if a := llmAnswers[r.Model]; a.Status < 400 || r.Header.Get("X-Stainless-Retry-Count") == "" {
		return a
	}
	return plain(fakellm.DeepSeek)
}

// A hit is one request of a round of traffic.
type hit struct {
	request
	header map[string]string
	leaves time.Duration // after so long; 0: at the end
}

// round is the traffic of a second to what a world has.
func (w *world) round() (hits []hit) {
	hits = shopHits(w.shop)
	if w.proxy != nil {
		hits = append(hits, llmHits(w.proxy.URL)...)
	}
	return hits
}

// shopHits ask for all that the program quickstart can do.
func shopHits(url string) []hit {
	shop := func(method, path, body string, times int) hit {
		return hit{request: request{method: method, path: url + path, body: body, times: times}}
	}
	left := shop(http.MethodGet, "/stream", "", 1)
	left.leaves = 200 * time.Millisecond
	return []hit{
		shop(http.MethodGet, "/", "", 2),
		shop(http.MethodGet, "/products/7", "", 10),
		shop(http.MethodGet, "/products/unknown", "", 1),
		shop(http.MethodPost, "/orders", `{"product":"7","quantity":2}`, 4),
		shop(http.MethodPost, "/orders", `}`, 1),
		shop(http.MethodGet, "/slow?delay=300ms", "", 1),
		shop(http.MethodGet, "/stream", "", 1),
		shop(http.MethodGet, "/panic", "", 1),
		shop(http.MethodGet, "/healthz", "", 1),
		shop(http.MethodGet, "/nowhere", "", 1),
		left,
	}
}

// llmHits ask models for all that can happen to calls of them.
func llmHits(url string) []hit {
	ask := func(model, more string, header map[string]string) hit {
		body := `{"model":"` + model + `","messages":[{"role":"user","content":"` + canaryPrompt + `"}]` + more + `}`
		return hit{request: request{method: http.MethodPost, path: url + "/llm/chat/completions", body: body, times: 1}, header: header}
	}
	const stream, usage = `,"stream":true`, `,"stream":true,"stream_options":{"include_usage":true}`
	again := map[string]string{"X-Stainless-Retry-Count": "1", clientHeader: "search"}
	left := ask("left", usage, nil)
	left.leaves = 200 * time.Millisecond
	return []hit{
		ask("steady", usage, map[string]string{clientHeader: "support"}),
		ask("steady", "", nil),
		ask("flaky", usage, nil),
		ask("flaky", usage, again),
		ask("broken", "", nil),
		ask("short", usage, nil),
		ask("again", usage, map[string]string{"X-Stainless-Retry-Count": "0"}),
		ask("again", usage, again),
		ask("silent", stream, nil),
		ask("unpriced", "", nil),
		ask(usdModel, "", nil),
		left,
		{request: request{method: http.MethodGet, path: url + "/gone/models", times: 1}},
	}
}

// run sends a round each second, and returns when the last one is answered.
func (w *world) run(t *testing.T, rounds int) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 30}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var sent sync.WaitGroup
	for range rounds {
		sent.Go(func() {
			for _, h := range w.round() {
				for range h.times {
					if err := h.send(t.Context(), client); err != nil {
						t.Errorf("%s %s %s: %v", h.method, h.path, h.body, err)
					}
				}
			}
		})
		<-tick.C
	}
	sent.Wait()
}

// send reads the answer to its end. A request that is sent to be broken off has
// no answer, and neither has a panic.
func (h hit) send(ctx context.Context, client *http.Client) error {
	brokenOff := h.leaves > 0 || strings.HasSuffix(h.path, "/panic")
	if brokenOff { // over a connection of its own: on one that was used before, the client would try again
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	if h.leaves > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.leaves)
		defer cancel()
	}
	r, err := http.NewRequestWithContext(ctx, h.method, h.path, strings.NewReader(h.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range h.header {
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if brokenOff {
		return nil
	}
	return err
}
