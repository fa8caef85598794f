package exporters_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// What is wrong is said once; the pipeline waits until somebody mends it. On
// sockets: TLS over unbuffered pipes can wait for itself.
func TestServerWithTheWrongTLS(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		server func(t *testing.T) *tls.Config // nil for plaintext
		lines  map[string]string              // by protocol
	}{
		"it has none": {
			func(*testing.T) *tls.Config { return nil },
			map[string]string{protocolGRPC: "first record does not look like a TLS handshake", protocolHTTP: "server gave HTTP response to HTTPS client"},
		},
		"nobody knows its authority": {
			func(t *testing.T) *tls.Config { return newAuthority(t).server(t, false) },
			map[string]string{protocolGRPC: "certificate signed by unknown authority", protocolHTTP: "certificate signed by unknown authority"},
		},
	}
	for name, test := range tests {
		for protocol, line := range test.lines {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				collector, authority := faultcollector.Start(t), newAuthority(t)
				target := map[string]string{protocolGRPC: collector.GRPC, protocolHTTP: collector.HTTP}[protocol]
				speaking := func(config *tls.Config) *tls.Config {
					if config != nil && protocol == protocolHTTP {
						config.NextProtos = []string{"http/1.1"}
					}
					return config
				}
				wrong := startRelay(t, "127.0.0.1:0", target, speaking(test.server(t)))
				r := startRig(t, collector, protocol, exporters.OTLP{
					Endpoint: "https://" + wrong.address,
					TLS:      &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool()},
				})
				r.span(t)
				r.record(t)
				r.log.wait(t, "cannot deliver")
				wrong.stop()
				startRelay(t, wrong.address, target, speaking(authority.server(t, false)))
				if err := r.flush(patience(t)); err != nil {
					t.Error(err)
				}
				r.checkAllArrived(t)
				r.checkLines(t, map[string]int{line: 1, "cannot deliver": 1, "recovered": 1, "": 2})
				r.checkAccounts(t)
			})
		}
	}
}

// A server with TLS closes a connection that speaks plaintext, or says what it
// thinks of it.
func TestPlaintextToAServerWithTLS(t *testing.T) {
	t.Parallel()
	t.Run("over gRPC", func(t *testing.T) {
		t.Parallel()
		collector := faultcollector.Start(t)
		wrong := startRelay(t, "127.0.0.1:0", collector.GRPC, newAuthority(t).server(t, false))
		r := startRig(t, collector, protocolGRPC, exporters.OTLP{Endpoint: "http://" + wrong.address})
		r.span(t)
		r.log.wait(t, "cannot deliver")
		if got := r.log.with(""); len(got) != 1 || !strings.Contains(got[0], "preface") && !strings.Contains(got[0], "reset") {
			t.Errorf("got lines %q, want that the server does not speak HTTP/2", got)
		}
		wrong.stop()
		startRelay(t, wrong.address, collector.GRPC, nil)
		if err := r.flush(patience(t)); err != nil {
			t.Error(err)
		}
		r.checkAllArrived(t)
	})
	t.Run("over HTTP", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			web := serveInMemory(t, newAuthority(t).server(t, false), func(http.ResponseWriter, *http.Request) {})
			r := startRig(t, faultcollector.StartInMemory(t), protocolHTTP, exporters.OTLP{Endpoint: "http://127.0.0.1:4318", DisableLogs: true})
			r.through.Store(&dialer{web.dial})
			r.span(t)
			_ = r.flush(t.Context())
			r.checkLines(t, map[string]int{"Client sent an HTTP request to an HTTPS server": 1, "": 1})
			r.checkAccounts(t)
		})
	})
}
