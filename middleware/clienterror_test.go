package middleware_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// clientAttempt is what a request goes to, and the context it has.
type clientAttempt struct {
	url  string
	base http.RoundTripper
	ctx  context.Context
}

func TestTransportErrorTypes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attempt func(t *testing.T) clientAttempt
		want    string // attributes besides those of server and method
	}{
		"a port that nobody listens on":                {clientRefusedPort, "error.type=connection_refused"},
		"a connection that is reset":                   {clientConnectionEnd(0), "error.type=connection_reset"},
		"a connection that is closed without response": {clientConnectionEnd(-1), "error.type=unexpected_eof"},
		"a server without TLS":                         {clientWithoutTLS, "error.type=tls"},
		"a certificate that nobody knows":              {clientUnknownAuthority, "error.type=tls"},
		"a client certificate that is missing":         {clientWithoutClientCertificate, "error.type=tls"},
		"a name that nobody knows":                     {clientUnknownName, "error.type=name_resolution"},
		"a deadline":                                   {clientDeadline, "error.type=timeout"},
		"a timeout of the transport":                   {clientHeaderTimeout, "error.type=timeout"},
		"a cancellation":                               {clientCancelled(nil), "error.type=canceled"},
		"a cancellation with a cause":                  {clientCancelled(errors.New("enough")), "error.type=canceled"},
		"an error of the base":                         {clientBaseError, "error.type=_OTHER"},
		"no response and no error":                     {clientNoResponse, "error.type=_OTHER"},
		"a response with a length but no body":         {clientNoBody, "error.type=_OTHER"},
		"a body that is cut":                           {clientCutBody(false), "error.type=unexpected_eof,status=200,version=1.1"},
		"a body that is cut with HTTP/2":               {clientCutBody(true), "error.type=connection_reset,status=200,version=2"},
		"a cancellation in the body":                   {clientCancelledBody, "error.type=canceled,status=200,version=1.1"},
		"a status of the client's fault":               {clientStatus(http.StatusNotFound), "error.type=404,status=404,version=1.1"},
		"a status of the server's fault":               {clientStatus(http.StatusBadGateway), "error.type=502,status=502,version=1.1"},
		"no error":                                     {clientStatus(http.StatusFound), "status=302,version=1.1"},
	}
	for name, tt := range tests {
		for _, sampler := range []sdktrace.Sampler{sdktrace.AlwaysSample(), sdktrace.NeverSample()} {
			t.Run(name+" with "+sampler.Description(), func(t *testing.T) {
				t.Parallel()
				attempt := tt.attempt(t)
				sdk := newClientSDK()
				sdk.TracerProvider = clientProvider(sampler, sdktrace.WithSpanProcessor(sdk.spans))
				clientAttemptRun(t, sdk, attempt)
				if diff := cmp.Diff([]string{tt.want}, clientOutcomes(t, sdk)); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
				for _, span := range sdk.spans.Ended() {
					clientCheckSpan(t, span, tt.want)
				}
			})
		}
	}
}

func clientAttemptRun(t *testing.T, sdk *clientSDK, attempt clientAttempt) {
	t.Helper()
	if attempt.ctx == nil {
		attempt.ctx = t.Context()
	}
	r, err := http.NewRequestWithContext(attempt.ctx, http.MethodGet, attempt.url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := sdk.client(t, attempt.base).Transport.RoundTrip(r)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
}

// clientOutcomes returns the attributes of all requests that are about their end.
func clientOutcomes(t *testing.T, sdk *clientSDK) []string {
	t.Helper()
	var outcomes []string
	for attributes, count := range sdk.histogram(t, telemetry.ClientDuration) {
		if count != "1" {
			t.Errorf("recorded %s times", count)
		}
		outcomes = append(outcomes, clientOutcome(attributes))
	}
	return outcomes
}

// clientCheckSpan checks that the span says what the metric says.
func clientCheckSpan(t *testing.T, span sdktrace.ReadOnlySpan, want string) {
	t.Helper()
	outcome := attribute.NewSet(span.Attributes()...)
	outcome, _ = outcome.Filter(attribute.NewAllowKeysFilter(telemetry.ErrorType, telemetry.HTTPStatusCode))
	want, _, _ = strings.Cut(want, ",version")
	if got := clientOutcome(outcome.Encoded(attribute.DefaultEncoder())); got != want {
		t.Errorf("span says %q, want %q", got, want)
	}
	if failed := strings.HasPrefix(want, "error.type"); failed != (span.Status().Code == codes.Error) {
		t.Errorf("status of the span is %v of a request with %s", span.Status(), want)
	}
}

func clientRefusedPort(t *testing.T) clientAttempt {
	listener := clientListen(t)
	listener.Close()
	return clientAttempt{url: "http://" + listener.Addr().String()}
}

// connectionEnd is a server that closes the connection after the request, with the linger option.
func clientConnectionEnd(linger int) func(*testing.T) clientAttempt {
	return func(t *testing.T) clientAttempt {
		url, _ := clientServer(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(linger)
			}
			_ = conn.Close()
		})
		return clientAttempt{url: url}
	}
}

func clientWithoutTLS(t *testing.T) clientAttempt {
	url, _ := clientServer(t, func(http.ResponseWriter, *http.Request) {})
	return clientAttempt{url: "https" + url[len("http"):]}
}

func clientUnknownAuthority(t *testing.T) clientAttempt {
	return clientAttempt{url: clientTLSServer(t, nil, func(http.ResponseWriter, *http.Request) {}).URL}
}

func clientUnknownName(*testing.T) clientAttempt {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
	return clientAttempt{
		url:  "http://nobody.example",
		base: &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext},
	}
}

// hang is a server that answers when the client has left.
func clientHang(t *testing.T, entered func()) string {
	url, _ := clientServer(t, func(_ http.ResponseWriter, r *http.Request) {
		entered()
		<-r.Context().Done()
	})
	return url
}

func clientDeadline(t *testing.T) clientAttempt {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return clientAttempt{url: clientHang(t, func() {}), ctx: ctx}
}

func clientHeaderTimeout(t *testing.T) clientAttempt {
	return clientAttempt{url: clientHang(t, func() {}), base: &http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond}}
}

func clientCancelled(cause error) func(*testing.T) clientAttempt {
	return func(t *testing.T) clientAttempt {
		ctx, cancel := context.WithCancelCause(t.Context())
		return clientAttempt{url: clientHang(t, func() { cancel(cause) }), ctx: ctx}
	}
}

func clientBaseError(*testing.T) clientAttempt {
	return clientAttempt{url: "http://127.0.0.1:1", base: clientBase(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("no")
	})}
}

func clientNoResponse(*testing.T) clientAttempt {
	return clientAttempt{url: "http://127.0.0.1:1", base: clientBase(func(*http.Request) (*http.Response, error) {
		return nil, nil // a broken RoundTripper
	})}
}

func clientNoBody(*testing.T) clientAttempt {
	return clientAttempt{url: "http://127.0.0.1:1", base: clientBase(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, ContentLength: 7}, nil
	})}
}

// cutBody is a server that promises more than it sends.
func clientCutBody(http2 bool) func(*testing.T) clientAttempt {
	return func(t *testing.T) clientAttempt {
		handler := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		if !http2 {
			url, _ := clientServer(t, handler)
			return clientAttempt{url: url}
		}
		server := clientTLSServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true }, handler)
		return clientAttempt{url: server.URL, base: server.Client().Transport}
	}
}

func clientCancelledBody(t *testing.T) clientAttempt {
	ctx, cancel := context.WithCancel(t.Context())
	url, _ := clientServer(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	// Cancelled when the headers are there.
	return clientAttempt{url: url, ctx: ctx, base: clientBase(func(r *http.Request) (*http.Response, error) {
		base := &http.Transport{}
		t.Cleanup(base.CloseIdleConnections)
		response, err := base.RoundTrip(r)
		cancel()
		return response, err
	})}
}

func clientStatus(code int) func(*testing.T) clientAttempt {
	return func(t *testing.T) clientAttempt {
		url, _ := clientServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		return clientAttempt{url: url}
	}
}

func clientWithoutClientCertificate(t *testing.T) clientAttempt {
	server := clientTLSServer(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	}, func(http.ResponseWriter, *http.Request) {})
	return clientAttempt{url: server.URL, base: server.Client().Transport}
}
