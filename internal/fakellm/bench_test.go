package fakellm_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/internal/fakellm"
)

// nowhere swallows a response.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Flush()                      {}

func serveNowhere(u *fakellm.Upstream, body string) {
	request := httptest.NewRequest(http.MethodPost, "/chat/completions", strings.NewReader(body))
	u.ServeHTTP(nowhere{http.Header{}}, request)
}

// The upstream must cost little beside what is measured against it.
func BenchmarkServe(b *testing.B) {
	for name, body := range map[string]string{"object": askObject, "stream of 100 events": askUsage} {
		b.Run(name, func(b *testing.B) {
			u := always(hundred())
			u.Keep(0)
			b.ReportAllocs()
			for b.Loop() {
				serveNowhere(u, body)
			}
		})
	}
}

func hundred() fakellm.Answer {
	return fakellm.Answer{Text: strings.Repeat("word ", 100), Chunks: 96, Usage: fakellm.Usage{UncachedInput: 1}}
}

// Events are prepared: how many there are changes nothing.
func TestEventsCostNoAllocations(t *testing.T) { // not parallel: it counts allocations
	few, many := always(fakellm.Answer{Text: "words", Chunks: 5}), always(hundred())
	count := func(u *fakellm.Upstream) float64 {
		return testing.AllocsPerRun(100, func() { serveNowhere(u, askUsage) })
	}
	if a, b := count(few), count(many); b > a+1 {
		t.Errorf("%v allocations for 100 events, want the %v of 8", b, a)
	}
}
