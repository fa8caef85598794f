package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Not parallel: it measures.
func TestComparisonHasALineForEachContender(t *testing.T) {
	const rounds, requests = 2, 160
	results, err := compare(t.Context(), rounds, requests)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, r := range results {
		for name, c := range r.cells {
			lines++
			if len(c.perRequest) != rounds || len(c.workers) != r.goroutines {
				t.Errorf("%s, %s: %d rounds of %d goroutines", r.name, name, len(c.perRequest), len(c.workers))
			}
		}
	}
	_, table, _ := strings.Cut(requestSection(results, rounds, requests), "--: |\n")
	if got := strings.Count(table, "\n"); got != lines {
		t.Errorf("%d lines for %d contenders", got, lines)
	}
}

// Not parallel: allocations of other tests would count.
func TestUnsampledRequestAllocatesLittle(t *testing.T) {
	const requests = 2000
	c := useCases()[0]
	setups, _, err := contenders(c)
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]*cell{}
	for name, s := range setups {
		t.Cleanup(func() { _ = s.shutdown(t.Context()) })
		if cells[name], err = c.cell(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		cells[name].run(requests)
		cells[name].countMemory(requests)
	}
	base, own := cells[nameBare], cells[nameOtelmon]
	if got := own.allocations - base.allocations; got > c.targets.allocations+0.5 {
		t.Errorf("%.1f allocations added, target %v", got, c.targets.allocations)
	}
	if got := own.bytes - base.bytes; got > c.targets.bytes {
		t.Errorf("%.0f bytes added, target %v", got, c.targets.bytes)
	}
}

func TestContendersDoWhatTheirCaseSays(t *testing.T) {
	t.Parallel()
	setups := map[string]func(signals) (setup, error){nameOtelhttp: plainOtelhttp, nameOtelmon: otelmonSetup}
	const requests = 320
	spans := map[string]int{"server, sampled": requests, "server, caller sampled": requests}
	for _, c := range useCases() {
		for name, makeSetup := range setups {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := newService(t, makeSetup, c.signals())
				made, err := c.cell(t.Context(), s.setup)
				if err != nil {
					t.Fatal(err)
				}
				made.run(requests)
				metric, route := "http.server.request.duration", "/items/{id}"
				if c.newWriter == nil {
					metric, route = "http.client.request.duration", ""
				}
				points := s.points(t, metric)
				if len(points) != 1 || points[0].count != requests || points[0].value("http.route") != route {
					t.Errorf("not all requests of one route: %+v", points)
				}
				if got := len(s.spans.GetSpans()); got != spans[c.name] {
					t.Errorf("%d spans, want %d", got, spans[c.name])
				}
			})
		}
	}
}

// offers tells which optional interfaces a ResponseWriter has.
func offers(w http.ResponseWriter) map[string]bool {
	has := map[string]bool{}
	_, has["Flusher"] = w.(http.Flusher)
	_, has["FlushError"] = w.(interface{ FlushError() error })
	_, has["CloseNotifier"] = w.(http.CloseNotifier) //nolint:staticcheck // net/http still has it
	_, has["Hijacker"] = w.(http.Hijacker)
	_, has["Pusher"] = w.(http.Pusher)
	_, has["ReaderFrom"] = w.(io.ReaderFrom)
	_, has["StringWriter"] = w.(io.StringWriter)
	_, has["SetReadDeadline"] = w.(interface{ SetReadDeadline(time.Time) error })
	_, has["SetWriteDeadline"] = w.(interface{ SetWriteDeadline(time.Time) error })
	_, has["EnableFullDuplex"] = w.(interface{ EnableFullDuplex() error })
	_, has["Unwrap"] = w.(interface{ Unwrap() http.ResponseWriter })
	return has
}

func TestWritersOfferWhatTheRealOnesOffer(t *testing.T) {
	t.Parallel()
	for protocol, w := range map[string]http.ResponseWriter{"HTTP/1.1": newHTTP1Writer(), "HTTP/2.0": newHTTP2Writer()} {
		var got map[string]bool
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = offers(w) }))
		srv.EnableHTTP2 = protocol == "HTTP/2.0"
		srv.StartTLS()
		t.Cleanup(srv.Close)
		response, err := srv.Client().Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		if response.Proto != protocol {
			t.Fatal("the server speaks", response.Proto)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, offers(w)); diff != "" {
			t.Errorf("%s (- net/http, + benchmark):\n%s", protocol, diff)
		}
	}
	if diff := cmp.Diff(offers(httptest.NewRecorder()), offers(newRecorderWriter())); diff != "" {
		t.Errorf("(- httptest, + benchmark):\n%s", diff)
	}
}
