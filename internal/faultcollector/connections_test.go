package faultcollector_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestRefuse(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		sender := connect()
		if err := sender(within(t, time.Minute), 1); err != nil {
			t.Fatal(err)
		}
		c.Refuse()
		for _, address := range []string{c.GRPC, c.HTTP} {
			if _, err := c.Dial(t.Context(), "tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("got error %v from %s, want connection refused", err, address)
			}
		}
		if err := sender(within(t, time.Minute), 2); err == nil {
			t.Error("got an answer over a connection that was closed")
		}
		c.Heal()
		if err := connect()(within(t, time.Minute), 3); err != nil {
			t.Errorf("got error %v once healed", err)
		}
		if diff := cmp.Diff(times(1, 0, 1), c.Received().SpanIDs()); diff != "" {
			t.Error(diff)
		}
	}
	both(t, test)
	bothOnSockets(t, test)
}

func TestRefuseEndsRequests(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		asked := make(chan struct{})
		c.Answer(func(faultcollector.Request) faultcollector.Reply {
			close(asked)
			return faultcollector.Reply{Delay: time.Hour}
		})
		failed := make(chan error)
		go func() { failed <- connect()(within(t, time.Minute), 1) }()
		<-asked
		c.Refuse()
		if err := <-failed; err == nil || strings.Contains(err.Error(), "deadline") {
			t.Errorf("got error %v, want that of a lost connection", err)
		}
		if got := c.Received().Spans; got != 0 {
			t.Errorf("got %d spans, want none", got)
		}
	}
	both(t, test)
	bothOnSockets(t, test)
}

func TestDialKnowsTwoAddresses(t *testing.T) {
	t.Parallel()
	c := faultcollector.StartInMemory(t)
	for name, test := range map[string]struct {
		ctx     context.Context
		address string
		want    error
	}{
		"another address":         {t.Context(), "127.0.0.4:4319", syscall.ECONNREFUSED},
		"a client that has ended": {within(t, 0), c.GRPC, context.DeadlineExceeded},
	} {
		if _, err := c.Dial(test.ctx, "tcp", test.address); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", name, err, test.want)
		}
	}
}

// Somebody else may have been given the port.
func TestHealWaitsForThePort(t *testing.T) {
	t.Parallel()
	c := faultcollector.Start(t)
	c.Refuse()
	other, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = other.Close() })
	c.Heal()
	if err := overHTTP(t, c)(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		sender := connect()
		if err := sender(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		c.Freeze()
		begin := time.Now()
		if err := sender(within(t, time.Hour), 2); err == nil {
			t.Error("got an answer over a connection that is half open")
		}
		if got := time.Since(begin); got != time.Hour {
			t.Errorf("got an error after %v, want the connection to stay open", got)
		}
		if err := connect()(t.Context(), 3); err != nil {
			t.Errorf("got error %v over a new connection", err)
		}
		if diff := cmp.Diff(times(1, 0, 1), c.Received().SpanIDs()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFreezeSwallowsAnswers(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		c.Answer(faultcollector.Always(faultcollector.Reply{Delay: time.Minute}))
		time.AfterFunc(30*time.Second, c.Freeze)
		begin := time.Now()
		if err := connect()(within(t, time.Hour), 1); err == nil {
			t.Error("got an answer over a connection that is half open")
		}
		if got := time.Since(begin); got != time.Hour {
			t.Errorf("got an error after %v, want the connection to stay open", got)
		}
		if diff := cmp.Diff(times(1), c.Received().SpanIDs()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFrozenConnectionStaysSo(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *faultcollector.Collector{
		"on sockets": faultcollector.Start, "in memory": faultcollector.StartInMemory,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			conn, err := c.Dial(t.Context(), "tcp", c.HTTP)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			// An answer shows that the Collector has accepted the connection.
			answer := make([]byte, 1<<10)
			if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: collector\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(answer); err != nil {
				t.Fatal(err)
			}
			c.Freeze()
			c.Freeze()
			c.Refuse()
			c.Heal()
			_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := conn.Write(make([]byte, 16<<20)); err != nil {
				t.Errorf("got error %v, want everything that is sent to be swallowed", err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			var timeout net.Error
			if n, err := conn.Read(answer); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("got %q and error %v, want nothing until the client gives up", answer[:n], err)
			}
		})
	}
}

func TestKeepaliveFindsFrozenConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := faultcollector.StartInMemory(t)
		sender := overGRPC(t, c, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))
		if err := sender(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		c.Freeze()
		begin := time.Now()
		if err := sender(t.Context(), 2); err == nil {
			t.Error("got an answer over a connection that is half open")
		}
		if got := time.Since(begin); got > 20*time.Second {
			t.Errorf("got an error after %v, want one when keepalive gives up", got)
		}
		if err := sender(t.Context(), 3); err != nil {
			t.Errorf("got error %v over a new connection", err)
		}
	})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	c, config := faultcollector.StartTLS(t)
	renamed := config.Clone()
	renamed.ServerName = "other.test"
	for name, test := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"a client that trusts the certificate":   {config, ""},
		"a client that does not know who signed": {&tls.Config{MinVersion: tls.VersionTLS12}, "unknown authority"},
		"a client that expects another name":     {renamed, "not other.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := c.Received().Spans
			errGRPC := overGRPC(t, c, grpc.WithTransportCredentials(credentials.NewTLS(test.config)))(within(t, time.Minute), 1)
			_, _, errHTTP := post(within(t, time.Minute), httpClient(t, c, test.config.Clone()), "https://"+c.HTTP+"/v1/traces", encode(t, spans(1)))
			for _, err := range []error{errGRPC, errHTTP} {
				if !says(err, test.want) {
					t.Errorf("got error %v, want %q", err, test.want)
				}
			}
			if got := c.Received().Spans - before; test.want == "" && got != 2 {
				t.Errorf("got %d spans, want 2", got)
			}
		})
	}
}

// says is true of no error when text is empty.
func says(err error, text string) bool {
	if err == nil || text == "" {
		return err == nil && text == ""
	}
	return strings.Contains(err.Error(), text)
}

func TestPlaintextToTLS(t *testing.T) {
	t.Parallel()
	c, _ := faultcollector.StartTLS(t)
	for name, sender := range map[string]client{"over gRPC": overGRPC(t, c), "over HTTP": overHTTP(t, c)} {
		if err := sender(within(t, time.Minute), 1); err == nil {
			t.Errorf("got no error %s", name)
		}
	}
	if got := c.Received().Spans; got != 0 {
		t.Errorf("got %d spans, want none", got)
	}
}
