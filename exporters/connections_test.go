package exporters_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/exporters"
)

// closable is a connection that tells whether it was closed.
type closable struct {
	net.Conn
	closed bool
}

func (c *closable) Close() error {
	c.closed = true
	return nil
}

func TestTheConnectionThatIsStuckLongestMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		connections := exporters.NewConnections(3)
		conns := make([]*closable, 8)
		for i := range conns {
			conns[i] = &closable{}
		}
		check := func(want ...bool) {
			t.Helper()
			for i, closed := range want {
				if conns[i].closed != closed {
					t.Errorf("connection %d is closed: %v, want %v", i, conns[i].closed, closed)
				}
			}
		}
		began := time.Now()
		for i := range 3 {
			connections.Changed(conns[i], http.StateNew)
		}
		<-time.After(time.Millisecond)
		connections.Changed(conns[0], http.StateActive)
		connections.Changed(conns[3], http.StateNew)
		if waited := time.Since(began); waited != exporters.Grace {
			t.Errorf("a connection was closed after %v, want %v", waited, exporters.Grace)
		}
		if conns[0].closed || conns[1].closed == conns[2].closed {
			t.Errorf("got %v %v %v, want one of the latter two closed", conns[0].closed, conns[1].closed, conns[2].closed)
		}
		for i := range 3 {
			connections.Changed(conns[i], http.StateClosed)
		}

		// 3 and 4 wait for the server, 5 for its client.
		connections.Changed(conns[4], http.StateNew)
		connections.Changed(conns[5], http.StateNew)
		connections.Pause(conns[3])
		connections.Pause(conns[4])
		<-time.After(time.Hour)
		connections.Changed(conns[6], http.StateNew)
		if conns[3].closed || conns[4].closed || !conns[5].closed {
			t.Errorf("got %v %v %v, want the last closed", conns[3].closed, conns[4].closed, conns[5].closed)
		}

		// When all wait for the server, new ones wait for one to end.
		connections.Pause(conns[6])
		let := make(chan struct{})
		go func() {
			connections.Changed(conns[7], http.StateNew)
			close(let)
		}()
		<-time.After(time.Minute)
		select {
		case <-let:
			t.Error("a connection came in above the limit")
		default:
		}
		connections.Changed(conns[4], http.StateClosed)
		<-let
		connections.Resume(conns[3])
		check(false, conns[1].closed, conns[2].closed, false, false, true, false, false)
	})
}

// Headers that never end, or a handshake that never begins.
func TestAScrapeGetsPastManyConnections(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	files := authority.issue(t)
	tests := map[string]struct{ config, sent string }{
		"that send part of a request": {"", "GET /metrics HTTP/1.1\r\nHost: shop\r\nX: "},
		"that send nothing over TLS":  {webConfig(t, "tls_server_config:\n  cert_file: "+files.certificate+"\n  key_file: "+files.key+"\n"), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newLines()
			server, provider := serve(t, exporters.Prometheus{WebConfigFile: test.config, Logger: slog.New(log)})
			record(t, provider)
			const more = 40
			closed := make(chan struct{}, exporters.MaxConnections+more)
			for range exporters.MaxConnections + more {
				conn, err := (&net.Dialer{}).DialContext(patience(t), "tcp", "127.0.0.1:"+portOf(t, server.URL()))
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				t.Cleanup(func() {
					_ = conn.Close()
					<-ended
				})
				if _, err := io.WriteString(conn, test.sent); err != nil && !isReset(err) {
					t.Fatal(err)
				}
				go func() {
					defer close(ended)
					_, _ = io.Copy(io.Discard, conn)
					closed <- struct{}{}
				}()
			}
			for range 3 {
				got, err := get(t, server.URL(), "", "", &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool()})
				if err != nil || got.status != http.StatusOK {
					t.Errorf("got status %d (%v)", got.status, err)
				}
				checkBody(t, got.body, "orders_total")
			}
			for range more + 1 { // or the scrape would not have come in
				<-closed
			}
			if got := log.with("WARN otelmon: the metrics listener is at its limit"); len(got) != 1 || len(log.with("")) != 1 {
				t.Errorf("got lines %q, want 1", log.with(""))
			}
		})
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

func TestAScrapeGetsThroughAnAttack(t *testing.T) {
	t.Parallel()
	server, provider := serve(t, exporters.Prometheus{})
	recordMany(t, provider, bigPage)
	before := liveHeap()
	a := startAttack("127.0.0.1:" + portOf(t, server.URL()))
	defer a.end()
	a.crowd(100, scrapes(plainRequest))
	a.crowd(100, a.slowly(plainRequest, ""))
	a.crowd(100, a.slowly("GET /metrics HTTP/1.1\r\nHost: shop\r\nX: ", "x"))
	for _, accept := range []string{"", acceptOpenMetrics, acceptProtobuf, ""} {
		got := scrape(t, server, accept)
		if accept == acceptProtobuf {
			if series := len(families(t, got)["duration_seconds"].GetMetric()); series != bigPage {
				t.Errorf("got %d series", series)
			}
		} else if series := strings.Count(got.body, "duration_seconds_count{"); series != bigPage {
			t.Errorf("got %d series", series)
		}
	}
	const bound = 96 << 20 // with the memory of 300 attackers, and of tests that run beside
	if after := liveHeap(); after > before+bound {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
}

// A page of the user's may be slow, and a panic of it is no secret.
func TestPagesOfTheUser(t *testing.T) {
	t.Parallel()
	log := newLines()
	config := exporters.Prometheus{Logger: slog.New(log), Handlers: map[string]http.Handler{
		"/panics": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("of the page") }),
	}}
	server, _ := serve(t, config)
	for range 3 {
		if got, err := get(t, strings.TrimSuffix(server.URL(), "metrics")+"panics", "", "", nil); err == nil {
			t.Errorf("got %+v, want no answer", got)
		}
	}
	scrape(t, server, "")
	if got := log.with("ERROR otelmon: a page of the metrics listener panicked"); len(got) != 1 || !strings.Contains(got[0], "of the page") || len(log.with("")) != 1 {
		t.Errorf("got lines %q, want 1", log.with(""))
	}
}

// The handler may be mounted on a server of the user's, next to the listener.
func TestTheHandlerNeedsNoListenerOfItsOwn(t *testing.T) {
	t.Parallel()
	own, provider := serve(t, exporters.Prometheus{})
	record(t, provider)
	server := httptest.NewServer(own.Handler())
	t.Cleanup(server.Close)
	got, err := get(t, server.URL, acceptOpenMetrics, "", nil)
	if err != nil || got.status != http.StatusOK {
		t.Errorf("got status %d (%v)", got.status, err)
	}
	checkBody(t, got.body, "orders_total", "# EOF")
	if err := own.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if got, err = get(t, server.URL, "", "", nil); err != nil || got.status != http.StatusOK {
		t.Errorf("got status %d (%v) after Shutdown", got.status, err)
	}
}
