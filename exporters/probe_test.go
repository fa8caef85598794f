package exporters_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// Each signal is sent one request without content, with all that an export has.
func TestProbeIsTaken(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			authority, collector := newAuthority(t), faultcollector.Start(t)
			served, at := authority.server(t, true), collector.GRPC
			if protocol == protocolHTTP {
				served.NextProtos, at = []string{"http/1.1"}, collector.HTTP
			}
			front := startRelay(t, "127.0.0.1:0", at, served)
			files := authority.issue(t)
			pair, err := tls.LoadX509KeyPair(files.certificate, files.key)
			if err != nil {
				t.Fatal(err)
			}
			targets, err := exporters.OTLP{
				Endpoint: "https://" + front.address, Protocol: protocol, Headers: map[string]string{"api-key": "secret"},
				TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool(), Certificates: []tls.Certificate{pair}},
			}.Targets()
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now().Truncate(time.Second)
			for _, to := range targets {
				answer, err := to.Probe(patience(t))
				if err != nil || answer.Took <= 0 || protocol == protocolHTTP && answer.Date.Before(before) {
					t.Errorf("%s: got %+v and error %v", to.Signal, answer, err)
				}
				<-front.ended // the connection is closed
			}
			got := collector.Received()
			if len(got.Traces) != 1 || len(got.Metrics) != 1 || len(got.Logs) != 1 || got.Spans+got.DataPoints+got.LogRecords != 0 || front.accepted.Load() != 3 {
				t.Errorf("got %+v over %d connections, want one request without content of each signal", got, front.accepted.Load())
			}
			for _, headers := range got.Headers {
				if diff := cmp.Diff([]string{"secret"}, headers["api-key"]); diff != "" {
					t.Errorf("header differs (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What is refused is not tried again, and no secret is told.
func TestProbeIsRefused(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-value"
	tests := map[string]struct {
		reply              faultcollector.Reply
		wantGRPC, wantHTTP string
		wantCode           codes.Code
	}{
		"without credentials": {
			faultcollector.Reply{Code: codes.Unauthenticated, Message: "who are you"},
			"UNAUTHENTICATED: who are you", "401 Unauthorized who are you", codes.Unauthenticated,
		},
		"with wrong credentials": {
			faultcollector.Reply{Code: codes.PermissionDenied, Message: "Bearer " + secret + " may not"},
			"PERMISSION_DENIED: [masked] may not", "403 Forbidden [masked] may not", codes.PermissionDenied,
		},
		"without a pipeline": {
			faultcollector.Reply{Code: codes.Unimplemented, Message: "unknown service"},
			"UNIMPLEMENTED: unknown service", "404 Not Found unknown service", codes.Unimplemented,
		},
		"by one that is busy": {
			faultcollector.Reply{Code: codes.Unavailable, Message: "later"},
			"UNAVAILABLE: later", "503 Service Unavailable later", codes.Unavailable,
		},
		"by half": {
			faultcollector.Reply{Rejected: 1, Message: "one is bad"},
			"rejected: one is bad", "rejected: one is bad", codes.Unknown,
		},
		"without sense": {
			faultcollector.Reply{Body: []byte("\xff\xff\xff")},
			"invalid_response: the answer is no OTLP response: is it an OTLP endpoint?", "invalid_response: the answer is no OTLP response: is it an OTLP endpoint?", codes.Unknown,
		},
		"at length": {
			faultcollector.Reply{Body: make([]byte, 2<<20)},
			"invalid_response: grpc: received message", "invalid_response: the answer is too long", codes.ResourceExhausted,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for protocol, want := range map[string]string{protocolGRPC: test.wantGRPC, protocolHTTP: test.wantHTTP} {
				collector, requests := faultcollector.Start(t), 0
				collector.Answer(func(faultcollector.Request) faultcollector.Reply {
					requests++
					return test.reply
				})
				at := map[string]string{protocolGRPC: collector.GRPC, protocolHTTP: collector.HTTP}[protocol]
				_, err := target(t, exporters.OTLP{Endpoint: at, Protocol: protocol, Headers: map[string]string{"authorization": "Bearer " + secret}}).Probe(patience(t))
				if err == nil || !strings.HasPrefix(err.Error(), want) || requests != 1 {
					t.Errorf("over %s: got error %q after %d requests, want %q after one", protocol, err, requests, want)
				}
				if got := status.Code(err); protocol == protocolGRPC && got != test.wantCode {
					t.Errorf("got code %v, want %v", got, test.wantCode)
				}
				for _, text := range errorTexts(err) {
					if strings.Contains(text, secret) {
						t.Errorf("got the secret in the error %q", text)
					}
				}
			}
		})
	}
}

// The causes can be told from each other, whoever noticed them.
func TestProbeThatDoesNotConnect(t *testing.T) {
	t.Parallel()
	authority, collector := newAuthority(t), faultcollector.Start(t)
	secured := map[string]string{
		protocolGRPC: startRelay(t, "127.0.0.1:0", collector.GRPC, authority.server(t, false)).address,
		protocolHTTP: startRelay(t, "127.0.0.1:0", collector.HTTP, authority.server(t, false)).address,
	}
	nobody := absent(t)
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	tests := map[string]struct {
		endpoint, protocol, want string
		caused                   func(error) bool
	}{
		"nobody listens, over gRPC":       {nobody, protocolGRPC, "UNAVAILABLE: ", is(syscall.ECONNREFUSED)},
		"nobody listens, over HTTP":       {nobody, protocolHTTP, "UNAVAILABLE: ", is(syscall.ECONNREFUSED)},
		"an unknown authority, over gRPC": {"https://" + secured[protocolGRPC], protocolGRPC, "certificate signed by unknown authority", unknownAuthority},
		"an unknown authority, over HTTP": {"https://" + secured[protocolHTTP], protocolHTTP, "certificate signed by unknown authority", unknownAuthority},
		"TLS to plaintext, over gRPC":     {"https://" + collector.GRPC, protocolGRPC, "first record does not look like a TLS handshake", notTLS},
		"TLS to plaintext, over HTTP":     {"https://" + collector.HTTP, protocolHTTP, "server gave HTTP response to HTTPS client", nil},
		"plaintext to TLS, over gRPC":     {"http://" + secured[protocolGRPC], protocolGRPC, "UNAVAILABLE: ", nil},
		"plaintext to TLS, over HTTP":     {"http://" + secured[protocolHTTP], protocolHTTP, "UNAVAILABLE: ", nil},
		"gRPC to a port for HTTP":         {collector.HTTP, protocolGRPC, "is it a port for HTTP?", nil},
		"HTTP to a port for gRPC":         {collector.GRPC, protocolHTTP, "is it a port for gRPC?", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := target(t, exporters.OTLP{Endpoint: test.endpoint, Protocol: test.protocol}).Probe(patience(t))
			if err == nil || !strings.Contains(err.Error(), test.want) || test.caused != nil && !test.caused(err) {
				t.Errorf("got error %q, want one that says %q, with its cause", err, test.want)
			}
		})
	}
}

func unknownAuthority(err error) bool {
	var unverified *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unverified) && errors.As(err, &unknown)
}

func notTLS(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header)
}

// A peer without an answer is waited for as long as an attempt may take, and no
// longer than ctx.
func TestProbeThatHangs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		trouble func(*faultcollector.Collector)
		timeout time.Duration
		limit   time.Duration // of ctx
		want    time.Duration
	}{
		"until the timeout of an attempt": {(*faultcollector.Collector).Hang, 0, time.Hour, 5 * time.Second},
		"until the timeout that was set":  {(*faultcollector.Collector).Hang, 2 * time.Second, time.Hour, 2 * time.Second},
		"until ctx ends":                  {(*faultcollector.Collector).Hang, 0, time.Second, time.Second},
		"while it connects":               {nil, 4 * time.Second, time.Hour, 4 * time.Second},
	}
	for name, test := range tests {
		for _, protocol := range []string{protocolGRPC, protocolHTTP} {
			t.Run(name+", over "+protocol, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					collector := faultcollector.StartInMemory(t)
					config := exporters.OTLP{Endpoint: collector.GRPC, Protocol: protocol, Timeout: test.timeout, Dial: collector.Dial}
					if protocol == protocolHTTP {
						config.Endpoint = collector.HTTP
					}
					if test.trouble != nil {
						test.trouble(collector)
					} else {
						config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
							<-ctx.Done()
							return nil, ctx.Err()
						}
					}
					ctx, cancel := context.WithTimeout(t.Context(), test.limit)
					defer cancel()
					began := time.Now()
					answer, err := target(t, config).Probe(ctx)
					if took := time.Since(began); took != test.want || answer.Took != took {
						t.Errorf("it took %v, and %v by its own account, want %v", took, answer.Took, test.want)
					}
					if err == nil || !strings.HasPrefix(err.Error(), "DEADLINE_EXCEEDED") || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got error %v, want one about the time", err)
					}
				})
			})
		}
	}
}

// Servers that are no Collector.
func TestProbeOfAWebServer(t *testing.T) {
	t.Parallel()
	endless := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(code)
			for page := make([]byte, 1<<16); ; {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		}
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a page": {
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>welcome</html>") },
			`invalid_response: 200 OK with 20 bytes of "text/html": is it an OTLP endpoint?`,
		},
		"an endless page":             {endless(http.StatusOK), "invalid_response: the answer is too long"},
		"an endless page of an error": {endless(http.StatusNotFound), "404 Not Found"},
		"a redirect":                  {http.RedirectHandler("https://elsewhere.example", http.StatusFound).ServeHTTP, "302 Found: redirects are not followed"},
		"a connection that ends":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "UNAVAILABLE: EOF"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.handler)
			t.Cleanup(server.Close)
			_, err := target(t, exporters.OTLP{Endpoint: server.URL, Protocol: protocolHTTP}).Probe(patience(t))
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || len(err.Error()) > 600 {
				t.Errorf("got error %q, want %q", err, test.want)
			}
		})
	}
}

func TestProbeUsesTheDialer(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{protocolGRPC, protocolHTTP} {
		collector, path := faultcollector.Start(t), filepath.Join(t.TempDir(), "socket")
		at := map[string]string{protocolGRPC: collector.GRPC, protocolHTTP: collector.HTTP}[protocol]
		var asked string
		config := exporters.OTLP{Endpoint: "http://collector.invalid:4317", Protocol: protocol, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			asked = address
			return (&net.Dialer{}).DialContext(ctx, network, at)
		}}
		if _, err := target(t, config).Probe(patience(t)); err != nil || asked != "collector.invalid:4317" {
			t.Errorf("over %s: got error %v from dialling %q", protocol, err, asked)
		}
		config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		if _, err := target(t, config).Probe(patience(t)); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("over %s: got error %v, want it to wrap that of the dialer", protocol, err)
		}
	}
}

// Some servers of gRPC, such as behind a proxy, tell the time.
func TestProbeReadsTheDateOverGRPC(t *testing.T) {
	t.Parallel()
	want := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, refusal := range map[string]error{"an answer": nil, "a refusal": status.Error(codes.Unauthenticated, "who are you")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
				sent := stream.SendHeader(metadata.Pairs("date", want.Format(http.TimeFormat)))
				if refusal != nil {
					return refusal
				}
				return errors.Join(sent, stream.SendMsg(&coltrace.ExportTraceServiceResponse{}))
			}))
			served := make(chan error, 1)
			go func() { served <- server.Serve(listener) }()
			t.Cleanup(func() {
				server.Stop()
				if err := <-served; err != nil {
					t.Errorf("serving: %v", err)
				}
			})
			answer, err := target(t, exporters.OTLP{Endpoint: listener.Addr().String()}).Probe(patience(t))
			if status.Code(err) != status.Code(refusal) || !answer.Date.Equal(want) {
				t.Errorf("got %+v and error %v, want the date %v", answer, err, want)
			}
		})
	}
}
