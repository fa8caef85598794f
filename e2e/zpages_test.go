package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/quantile"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/otelmon/toolkit/e2e/harness"
)

// hostileRoute is one that a page must not take for its own.
const hostileRoute = "/<script>window.hostile=true</script>"

// manyRoutes are more than have a row each.
const manyRoutes = 300

// watchedService is a service with a live page, in this process.
type watchedService struct {
	sdk    *otelmon.SDK
	server *httptest.Server
}

// startWatched starts a service whose page listens on address.
func startWatched(t *testing.T, address string) *watchedService {
	t.Helper()
	cfg := otelmon.Config{
		ServiceName:    "watched",
		Prometheus:     exporters.Prometheus{Address: address},
		DisableOTLP:    true,
		DisableGlobals: true,
		Logger:         slog.New(slog.DiscardHandler),
	}
	zpages.Install(&cfg)
	sdk, err := otelmon.Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(_ http.ResponseWriter, r *http.Request) {
		_, span := sdk.TracerProvider().Tracer("orders").Start(r.Context(), "reading the order")
		defer span.End()
		ms, _ := strconv.Atoi(r.PathValue("id"))
		<-time.After(time.Duration(ms) * time.Millisecond)
	})
	mux.HandleFunc("GET /fail", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of stock", http.StatusInternalServerError)
	})
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("out of order") })
	for i := range manyRoutes {
		mux.HandleFunc(fmt.Sprintf("GET /many/%d", i), func(http.ResponseWriter, *http.Request) {})
	}
	mux.HandleFunc("GET "+hostileRoute, func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewUnstartedServer(middleware.Handler(mux, middleware.Config{
		TracerProvider: sdk.TracerProvider(), MeterProvider: sdk.MeterProvider(), Propagator: sdk.Propagator(),
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // the panic
	server.Start()
	return &watchedService{sdk, server}
}

func (s *watchedService) stop(t *testing.T) {
	t.Helper()
	s.server.Close()
	if err := s.sdk.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// visit sends a request, whatever becomes of it.
func (s *watchedService) visit(t *testing.T, path string) {
	t.Helper()
	if response, err := s.server.Client().Get(s.server.URL + path); err == nil {
		response.Body.Close()
	}
}

// serveAll answers some of everything but what fails.
func (s *watchedService) serveAll(t *testing.T) {
	t.Helper()
	for i := range 60 {
		s.visit(t, fmt.Sprintf("/orders/%d", i))
	}
	s.visit(t, strings.NewReplacer("<", "%3C", ">", "%3E").Replace(hostileRoute))
}

// scrapedP99 is what histogram_quantile says of the route's buckets.
func (s *watchedService) scrapedP99(t *testing.T, route string) float64 {
	t.Helper()
	page, err := harness.Get(s.sdk.MetricsURL())
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families["http_server_request_duration_seconds"].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() != "http_route" || label.GetValue() != route {
				continue
			}
			var bounds []float64
			var counts []uint64
			before := uint64(0)
			for _, b := range m.GetHistogram().GetBucket() {
				if !math.IsInf(b.GetUpperBound(), 1) {
					bounds = append(bounds, b.GetUpperBound())
				}
				counts = append(counts, b.GetCumulativeCount()-before)
				before = b.GetCumulativeCount()
			}
			return quantile.Of(0.99, bounds, counts)
		}
	}
	t.Fatalf("the scrape has no %s", route)
	return 0
}

// openPage opens the live page of a service that has answered some of everything.
func openPage(t *testing.T) (*harness.Browser, *watchedService) {
	t.Helper()
	b := harness.StartBrowser(t)
	s := startWatched(t, "127.0.0.1:0")
	t.Cleanup(func() { s.stop(t) })
	s.serveAll(t)
	b.Do(t, chromedp.EmulateViewport(1440, 1200), chromedp.Navigate(zpages.URL(s.sdk)+"#window=900"), chromedp.WaitVisible(chromedp.CSS("#routes-rows tr")))
	eventually(t, b, 20*time.Second, cell("/orders/{id}", requestsColumn)+" === '60'")
	return b, s
}

// evaluate returns what an expression is in the page, or the promise of one.
func evaluate[T any](t *testing.T, b *harness.Browser, expression string) T {
	t.Helper()
	value, err := chromedp.Run(b.Context, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// eventually waits until an expression is true in the page.
func eventually(t *testing.T, b *harness.Browser, within time.Duration, expression string) {
	t.Helper()
	harness.Eventually(t, within, expression, func() error {
		if evaluate[bool](t, b, "Boolean("+expression+")") {
			return nil
		}
		return fmt.Errorf("it is not so; the page says %q", evaluate[string](t, b, "document.querySelector('#banner').textContent + document.querySelector('#main').innerText.slice(0, 2000)"))
	})
}

// Columns of the table of routes.
const requestsColumn, p99Column = 1, 6

// cell is an expression for the text in a column of a route's row.
func cell(route string, column int) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#routes-rows tr')].find((r) => r.querySelector('.path').textContent === %q)?.children[%d].textContent`, route, column)
}

// seconds reads a duration as the page shows it.
func seconds(t *testing.T, text string) float64 {
	t.Helper()
	number, unit, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(text, "\u00a0", " ")), " ")
	value, err := strconv.ParseFloat(number, 64)
	factor, known := map[string]float64{"µs": 1e-6, "ms": 1e-3, "s": 1}[unit]
	if err != nil || !known {
		t.Fatalf("%q is no duration", text)
	}
	return value * factor
}

// Not parallel: it waits for what is to appear within some seconds.
func TestLivePage(t *testing.T) {
	b, s := openPage(t)
	t.Run("P99 is that of the scrape, but for rounding", func(t *testing.T) { testShownP99(t, b, s) })
	t.Run("a route that looks like a script is text", func(t *testing.T) { testHostileRoute(t, b) })
	t.Run("a 500 appears within 5 s, and its trace opens", func(t *testing.T) { testFailure(t, b, s) })
	t.Run("a panic tells its stack", func(t *testing.T) { testPanic(t, b, s) })
	t.Run("columns sort by keyboard", func(t *testing.T) { testSorting(t, b) })
	t.Run("the button that pauses is named for what it does next", func(t *testing.T) { testPause(t, b) })
	t.Run("the skip link leads past what is hidden", func(t *testing.T) { testSkipLink(t, b) })
	t.Run("a phone does not scroll sideways", func(t *testing.T) { testPhone(t, b) })
	t.Run("nothing was complained about or asked for elsewhere", func(t *testing.T) { testQuiet(t, b, s) })
}

func testShownP99(t *testing.T, b *harness.Browser, s *watchedService) {
	shown := seconds(t, evaluate[string](t, b, cell("/orders/{id}", p99Column)))
	if want := s.scrapedP99(t, "/orders/{id}"); math.Abs(shown-want) > want/200 {
		t.Errorf("got %v s, want %v s", shown, want)
	}
}

func testHostileRoute(t *testing.T, b *harness.Browser) {
	eventually(t, b, 5*time.Second, cell(hostileRoute, requestsColumn)+" === '1'")
	if evaluate[bool](t, b, "'hostile' in window") {
		t.Error("it ran")
	}
}

func testFailure(t *testing.T, b *harness.Browser, s *watchedService) {
	s.visit(t, "/fail")
	const row = `[...document.querySelectorAll('#traces-rows tr')].find((r) => r.querySelector('.path').textContent === 'GET /fail')`
	eventually(t, b, 5*time.Second, row)
	evaluate[any](t, b, row+".querySelector('button').focus()")
	b.Do(t, chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("#trace-spans li")))
	eventually(t, b, 5*time.Second, `document.querySelector('#trace-span').innerText.includes('http.response.status_code')`)
	keep(t, b, "trace")
	b.Do(t, chromedp.KeyEvent("\x1b"))
	eventually(t, b, 5*time.Second, "!document.querySelector('#trace').open && document.activeElement === "+row+".querySelector('button')")
}

func testPanic(t *testing.T, b *harness.Browser, s *watchedService) {
	s.visit(t, "/panic")
	eventually(t, b, 10*time.Second, `document.querySelector('#traces-panics b').textContent === '1'`)
	b.Do(t, chromedp.Click(chromedp.CSS("#traces-panics")), chromedp.Click(chromedp.CSS("#traces-rows button")), chromedp.WaitVisible(chromedp.CSS("#trace-spans li")))
	eventually(t, b, 5*time.Second, `document.querySelector('#trace-span').innerText.includes('zpages_test.go')`)
	b.Do(t, chromedp.Click(chromedp.CSS("#trace-close")))
}

func testSorting(t *testing.T, b *harness.Browser) {
	const header = "document.querySelectorAll('#routes-head th')[6]"
	evaluate[any](t, b, header+".querySelector('button').focus()")
	b.Do(t, chromedp.KeyEvent("\r"))
	eventually(t, b, 5*time.Second, header+".getAttribute('aria-sort') === 'descending'")
}

func testPause(t *testing.T, b *harness.Browser) {
	const heard = "document.querySelector('#live-text').textContent + ', ' + document.querySelector('#pause').textContent"
	for _, want := range []string{"Paused, Go on", "Live, Pause"} {
		b.Do(t, chromedp.Click(chromedp.CSS("#pause")))
		if got := evaluate[string](t, b, heard); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if evaluate[bool](t, b, "document.querySelector('#pause').hasAttribute('aria-pressed')") {
			t.Error("it is also pressed or not, which is the opposite")
		}
	}
}

// The first section is hidden for services that call LLM APIs only.
func testSkipLink(t *testing.T, b *harness.Browser) {
	const follow = "(document.querySelector('#overview').hidden = true, document.querySelector('.skip').click(), document.activeElement.id)"
	if got := evaluate[string](t, b, follow); got != "main" {
		t.Errorf("it leads to %q", got)
	}
}

// keepBothWidths keeps a picture of a wide window and of a phone, on which nothing
// scrolls sideways.
func keepBothWidths(t *testing.T, b *harness.Browser, name string) {
	t.Helper()
	keep(t, b, "wide-"+name)
	b.Do(t, chromedp.EmulateViewport(360, 800))
	eventually(t, b, 10*time.Second, "document.scrollingElement.scrollWidth <= 360")
	keep(t, b, "narrow-"+name)
	b.Do(t, chromedp.EmulateViewport(1440, 1200))
}

func testPhone(t *testing.T, b *harness.Browser) {
	for _, theme := range []string{"light", "dark"} {
		keepBothWidths(t, b, theme)
		b.Do(t, chromedp.Click(chromedp.CSS("#theme")))
	}
}

func testQuiet(t *testing.T, b *harness.Browser, s *watchedService) {
	if problems := b.Problems(); len(problems) > 0 {
		t.Errorf("the console says %q", problems)
	}
	if foreign := b.Foreign(strings.TrimSuffix(s.sdk.MetricsURL(), "/metrics") + "/"); len(foreign) > 0 {
		t.Errorf("requests to %q", foreign)
	}
}

// keep writes a picture of the page into the folder SCREENSHOTS, if that
// is set.
func keep(t *testing.T, b *harness.Browser, name string) {
	t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(b.Context, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// A page that is open notices that its service ends, and goes on with the next
// one.
func TestLivePageOutlivesItsService(t *testing.T) {
	b := harness.StartBrowser(t)
	address := harness.FreeAddress(t)
	first := startWatched(t, address)
	first.serveAll(t)
	b.Do(t, chromedp.Navigate(zpages.URL(first.sdk)), chromedp.WaitVisible(chromedp.CSS("#routes-rows tr")))
	first.stop(t)
	eventually(t, b, 30*time.Second, "document.querySelector('[role=status]').innerText.startsWith('No answer since ')")

	second := startWatched(t, address)
	t.Cleanup(func() { second.stop(t) })
	second.visit(t, "/fail")
	eventually(t, b, 30*time.Second, "document.querySelector('#banner').hidden && "+cell("/fail", requestsColumn)+" === '1' && "+cell("/orders/{id}", requestsColumn)+" === undefined")
}

// A part of the page that cannot be drawn is told as that, not as a service that
// is silent, and the other parts go on.
func TestLivePageWithFault(t *testing.T) {
	b, s := openPage(t)
	evaluate[any](t, b, "(window.taken = document.querySelector('#service'), taken.remove())") // the first part wants it
	s.visit(t, "/fail")
	eventually(t, b, 10*time.Second, "document.querySelector('[role=status]').innerText.startsWith('This page has a fault') && "+cell("/fail", requestsColumn)+" === '1'")
	if state := evaluate[string](t, b, "document.querySelector('#live-text').textContent"); state != "Live" {
		t.Errorf("the service is said to be %q", state)
	}
	if !slices.ContainsFunc(b.Problems(), func(problem string) bool { return strings.Contains(problem, "TypeError") }) {
		t.Errorf("the console says %q", b.Problems())
	}
	keepBothWidths(t, b, "fault")
	evaluate[any](t, b, "document.querySelector('.service').prepend(taken)")
	eventually(t, b, 10*time.Second, "document.querySelector('#banner').hidden")
}

// The row of all routes beyond the 256th is not one that can be chosen.
func TestLivePageWithManyRoutes(t *testing.T) {
	b, s := openPage(t)
	for i := range manyRoutes {
		s.visit(t, fmt.Sprintf("/many/%d", i))
	}
	b.Do(t, chromedp.WaitVisible(chromedp.CSS("#routes-all")), chromedp.Click(chromedp.CSS("#routes-all")))
	const row = "[...document.querySelectorAll('#routes-rows tr')].find((r) => r.innerText.includes('All other routes'))"
	eventually(t, b, 10*time.Second, row)
	const state = row + ".classList.contains('selected') + ' ' + " + row + ".querySelector('button').matches('[aria-pressed], :enabled')"
	if got := evaluate[string](t, b, state); got != "false false" {
		t.Errorf("selected, can be: %s", got)
	}
}
