package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
)

const streamed = 64 << 20 // bytes

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// heapDuring returns how much the heap grew while what is copied goes by.
func heapDuring(t *testing.T, r io.Reader) (length int64, growth uint64) {
	t.Helper()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for part := int64(0); ; length += part {
		var err error
		if part, err = io.CopyN(io.Discard, r, 16<<20); err != nil {
			return length + part, growth
		}
		runtime.ReadMemStats(&now)
		if now.HeapInuse > before.HeapInuse {
			growth = max(growth, now.HeapInuse-before.HeapInuse)
		}
	}
}

func TestBodiesAreNotKept(t *testing.T) { // not parallel: it looks at the heap
	download := func(w http.ResponseWriter, r *http.Request) {
		if n := r.URL.Query().Get("length"); n != "" {
			w.Header().Set("Content-Length", n)
		}
		_, _ = io.CopyN(w, zeros{}, streamed)
	}
	for name, start := range map[string]func(*httptest.Server){"HTTP/1.1": (*httptest.Server).Start, "HTTP/2": withHTTP2} {
		for _, query := range []string{"", "?length=" + strconv.Itoa(streamed)} {
			t.Run(fmt.Sprint("a response by ", name, query), func(t *testing.T) {
				upstream := newServer(t, http.HandlerFunc(download), start)
				cfg := to(upstream.URL)
				if upstream.TLS != nil {
					cfg.Upstreams[0].TLS.CAFile = certificateFile(t, upstream)
				}
				response, err := http.Get(newProxied(t, cfg).URL + query)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				length, growth := heapDuring(t, response.Body)
				checkStreamed(t, length, growth)
			})
		}
		for _, length := range []int64{-1, streamed} {
			t.Run(fmt.Sprint("a request by ", name, ", length ", length), func(t *testing.T) {
				var got int64
				var growth uint64
				upstream := newServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					got, growth = heapDuring(t, r.Body)
				}), start)
				cfg := to(upstream.URL)
				if upstream.TLS != nil {
					cfg.Upstreams[0].TLS.CAFile = certificateFile(t, upstream)
				}
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, newProxied(t, cfg).URL, io.LimitReader(zeros{}, streamed))
				if err != nil {
					t.Fatal(err)
				}
				request.ContentLength = length
				response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				checkStreamed(t, got, growth)
			})
		}
	}
}

func checkStreamed(t *testing.T, length int64, growth uint64) {
	t.Helper()
	same(t, "length", int64(streamed), length)
	const most = 16 << 20 // of the client and the upstream too
	if growth > most {
		t.Errorf("the heap grew by %d bytes, want at most %d", growth, most)
	}
	t.Logf("the heap grew by %d bytes", growth)
}
