package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// forwarded are the requests to hosts that are not on loopback: a forward proxy,
// which net/http asks for once, takes them.
var forwarded = make(chan *http.Request, 1)

func TestMain(m *testing.M) {
	forward := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { forwarded <- r }))
	for name, value := range map[string]string{"HTTP_PROXY": forward.URL, "NO_PROXY": "upstream.invalid"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
