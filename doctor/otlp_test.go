package doctor_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// Tests that run the doctor on an environment are not parallel: they set it.

// variables are those of a test; no other of the toolkit's is set.
type variables map[string]string

func (v variables) set(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OTEL") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("OTEL_METRICS_EXPORTER", "otlp") // none of a page that is served here by chance
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	for name, value := range v {
		t.Setenv(name, value)
	}
}

// of returns the findings of a part, or of one of its checks.
func of(report doctor.Report, part, check string) (found []doctor.Finding) {
	for _, f := range report.Findings {
		if f.Part == part && (check == "" || f.Check == check) {
			found = append(found, f)
		}
	}
	return found
}

// says reports whether a text has each word.
func says(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}

// otlpServer answers exports over HTTP by answer, with 200 for nil.
func otlpServer(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	if answer == nil {
		answer = func(http.ResponseWriter, *http.Request) {}
	}
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(server.Close)
	return server
}

func plaintext(t *testing.T, answer http.HandlerFunc) (address string) {
	t.Helper()
	server := otlpServer(t, answer)
	server.Start()
	return server.Listener.Addr().String()
}

// secure serves with a certificate; authority is a file with the one that it is
// by.
func secure(t *testing.T, change func(*x509.Certificate), config *tls.Config) (address, authority string) {
	t.Helper()
	server := otlpServer(t, nil)
	if config == nil {
		config = &tls.Config{}
	}
	config.Certificates, authority = certificate(t, change)
	server.TLS = config
	server.StartTLS()
	return server.Listener.Addr().String(), authority
}

// certificate makes one for 127.0.0.1 that signs itself, with a change.
func certificate(t *testing.T, change func(*x509.Certificate)) (pairs []tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "collector"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, file
}

// listener serves each connection by serve, until the test ends.
func listener(t *testing.T, at string, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
			go func() {
				serve(conn)
				_ = conn.Close()
				stop()
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

// silence reads what comes and says nothing.
func silence(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func nobody(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func grpcTo(address string) variables {
	return variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
}

func httpTo(address string) variables {
	return variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
}

// with adds name and value.
func (v variables) with(name, value string) variables {
	v[name] = value
	return v
}

// overTLS trusts the authorities in a file, if it is not "".
func (v variables) overTLS(authority string) variables {
	v["OTEL_EXPORTER_OTLP_ENDPOINT"] = strings.Replace(v["OTEL_EXPORTER_OTLP_ENDPOINT"], "http:", "https:", 1)
	return v.with("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)
}

// answering is a Collector that answers so, reached over gRPC or HTTP.
func answering(t *testing.T, overHTTP bool, answer func(faultcollector.Request) faultcollector.Reply) variables {
	t.Helper()
	c := faultcollector.Start(t)
	c.Answer(answer)
	if overHTTP {
		return httpTo(c.HTTP)
	}
	return grpcTo(c.GRPC)
}

func refusing(signal string, reply faultcollector.Reply) func(faultcollector.Request) faultcollector.Reply {
	return func(r faultcollector.Request) faultcollector.Reply {
		if signal == "" || r.Signal == signal {
			return reply
		}
		return faultcollector.Reply{}
	}
}

func webPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html>hello</html>")
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
}

func dated(ahead time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	}
}

// found is a finding that a test wants.
type found struct {
	check           string
	level           doctor.Level
	message, advice []string // words of it
}

func (want found) in(t *testing.T, report doctor.Report) {
	t.Helper()
	findings := of(report, "otlp", want.check)
	if len(findings) != 1 {
		t.Fatalf("got findings %+v, want one of check %s", of(report, "otlp", ""), want.check)
	}
	got := findings[0]
	if got.Level != want.level || !says(got.Message, want.message...) || !says(got.Advice, want.advice...) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if (got.Advice == "") != (got.Level == doctor.OK) {
		t.Errorf("got advice %q with level %v", got.Advice, got.Level)
	}
	for _, other := range of(report, "otlp", "") {
		if other.Level == doctor.Failure && other.Check != want.check {
			t.Errorf("got also %+v", other)
		}
	}
}

func TestOTLPEndpoint(t *testing.T) {
	tests := map[string]struct {
		variables func(*testing.T) variables
		want      found
		timeout   time.Duration // of peers that make steps take their share of it
	}{
		"a Collector takes all signals over gRPC": {
			func(t *testing.T) variables { return answering(t, false, nil) },
			found{check: "export", message: []string{"takes traces, metrics and logs", "over grpc"}},
			0,
		},
		"a Collector takes all signals over HTTP": {
			func(t *testing.T) variables { return answering(t, true, nil) },
			found{check: "export", message: []string{"takes traces, metrics and logs", "over http/protobuf"}},
			0,
		},
		"a Collector takes all signals over gRPC and TLS": {
			func(t *testing.T) variables {
				c, config := faultcollector.StartTLS(t)
				return grpcTo(c.GRPC).overTLS(authorityOf(t, c.GRPC, config))
			},
			found{check: "export", message: []string{"takes traces, metrics and logs"}},
			0,
		},
		"TLS is fine over HTTP": {
			func(t *testing.T) variables {
				address, authority := secure(t, nil, nil)
				return httpTo(address).overTLS(authority)
			},
			found{check: "tls", message: []string{"TLS 1.3", "valid until"}},
			0,
		},
		"a Collector that answers soon": {
			func(t *testing.T) variables { return answering(t, false, nil) },
			found{check: "latency", message: []string{"answers within"}},
			0,
		},
		"a Collector that answers late": {
			func(t *testing.T) variables {
				return answering(t, false, refusing("metrics", faultcollector.Reply{Delay: time.Second}))
			},
			found{check: "latency", level: doctor.Warning, message: []string{"took 1", "metrics"}, advice: []string{"load"}},
			0,
		},
		"clocks agree": {
			func(t *testing.T) variables { return httpTo(plaintext(t, nil)) },
			found{check: "clock", message: []string{"agree"}},
			0,
		},
		"the clock of the Collector is a little behind": {
			func(t *testing.T) variables { return httpTo(plaintext(t, dated(-time.Minute))) },
			found{check: "clock", level: doctor.Warning, message: []string{"behind"}, advice: []string{"NTP"}},
			0,
		},
		"the clock of the Collector is an hour ahead": {
			func(t *testing.T) variables { return httpTo(plaintext(t, dated(time.Hour))) },
			found{check: "clock", level: doctor.Failure, message: []string{"ahead"}, advice: []string{"NTP"}},
			0,
		},
		"nobody listens": {
			func(t *testing.T) variables { return grpcTo(nobody(t)) },
			found{check: "connection", level: doctor.Failure, message: []string{"nothing listens", "refused"}, advice: []string{"Start a Collector", "OTEL_TRACES_EXPORTER=none"}},
			0,
		},
		"somebody listens on the other port of OTLP": {
			func(t *testing.T) variables {
				listener(t, "127.91.17.3:4318", silence)
				return grpcTo("127.91.17.3:4317")
			},
			found{check: "connection", level: doctor.Failure, message: []string{"127.91.17.3:4317"}, advice: []string{"http://127.91.17.3:4318", "http/protobuf"}},
			0,
		},
		"a name that does not resolve": {
			func(*testing.T) variables { return grpcTo("collector.invalid:4317") },
			found{check: "name", level: doctor.Failure, message: []string{"collector.invalid does not resolve"}, advice: []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
			0,
		},
		"a certificate of an unknown authority": {
			func(t *testing.T) variables {
				address, _ := secure(t, nil, nil)
				return httpTo(address).overTLS("")
			},
			found{check: "certificate", level: doctor.Failure, message: []string{"authority that is not known", "CN=collector"}, advice: []string{"OTEL_EXPORTER_OTLP_CERTIFICATE"}},
			0,
		},
		"a certificate of an unknown authority, over gRPC": {
			func(t *testing.T) variables {
				c, _ := faultcollector.StartTLS(t)
				return grpcTo(c.GRPC).overTLS("")
			},
			found{check: "certificate", level: doctor.Failure, message: []string{"authority that is not known"}},
			0,
		},
		"a certificate for another name": {
			func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) {
					c.IPAddresses, c.DNSNames = nil, []string{"collector.example.org"}
				}, nil)
				return httpTo(address).overTLS(authority)
			},
			found{check: "certificate", level: doctor.Failure, message: []string{"not for 127.0.0.1", "collector.example.org"}, advice: []string{"Use a name"}},
			0,
		},
		"a certificate that has expired": {
			func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) {
					c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
				}, nil)
				return httpTo(address).overTLS(authority)
			},
			found{check: "certificate", level: doctor.Failure, message: []string{"expired on"}, advice: []string{"Renew"}},
			0,
		},
		"a certificate that is not valid yet": {
			func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, nil)
				return httpTo(address).overTLS(authority)
			},
			found{check: "certificate", level: doctor.Failure, message: []string{"not valid before"}, advice: []string{"clock"}},
			0,
		},
		"a certificate that is about to expire": {
			func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(48*time.Hour + time.Minute) }, nil)
				return httpTo(address).overTLS(authority)
			},
			found{check: "certificate", level: doctor.Warning, message: []string{"expires in 48h"}, advice: []string{"Renew"}},
			0,
		},
		"a server that wants a client certificate": {
			func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
				return httpTo(address).overTLS(authority)
			},
			found{check: "client-certificate", level: doctor.Failure, message: []string{"client certificate"}, advice: []string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}},
			0,
		},
		"a server that wants a client certificate, over gRPC": {
			func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"}})
				return grpcTo(address).overTLS(authority)
			},
			found{check: "client-certificate", level: doctor.Failure},
			0,
		},
		"a server that wants a client certificate, over TLS 1.2": {
			func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
				return httpTo(address).overTLS(authority)
			},
			found{check: "tls", level: doctor.Failure, message: []string{"handshake failure"}, advice: []string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}},
			0,
		},
		"a server that has old TLS alone": {
			func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
				return httpTo(address).overTLS(authority)
			},
			found{check: "tls", level: doctor.Failure, message: []string{"no TLS with"}, advice: []string{"TLS 1.2"}},
			0,
		},
		"gRPC over TLS to a server without HTTP/2": {
			func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{NextProtos: []string{"http/1.1"}})
				return grpcTo(address).overTLS(authority)
			},
			found{check: "protocol", level: doctor.Failure, message: []string{"HTTP/2"}, advice: []string{"http/protobuf"}},
			0,
		},
		"plaintext to a port with TLS, over gRPC": {
			func(t *testing.T) variables {
				c, _ := faultcollector.StartTLS(t)
				return grpcTo(c.GRPC)
			},
			found{check: "tls-port", level: doctor.Failure, message: []string{"speaks TLS"}, advice: []string{"https://"}},
			0,
		},
		"plaintext to a port with TLS, over HTTP": {
			func(t *testing.T) variables {
				address, _ := secure(t, nil, nil)
				return httpTo(address)
			},
			found{check: "tls-port", level: doctor.Failure, message: []string{"speaks TLS"}, advice: []string{"https://"}},
			0,
		},
		"TLS to a plaintext port, over gRPC": {
			func(t *testing.T) variables { return answering(t, false, nil).overTLS("") },
			found{check: "plaintext-port", level: doctor.Failure, message: []string{"speaks plaintext"}, advice: []string{"http://"}},
			0,
		},
		"TLS to a plaintext port, over HTTP": {
			func(t *testing.T) variables { return answering(t, true, nil).overTLS("") },
			found{check: "plaintext-port", level: doctor.Failure, message: []string{"speaks plaintext"}, advice: []string{"http://"}},
			0,
		},
		"gRPC to a port for HTTP": {
			func(t *testing.T) variables { return grpcTo(faultcollector.Start(t).HTTP) },
			found{check: "protocol", level: doctor.Failure, advice: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "4318"}},
			0,
		},
		"HTTP to a port for gRPC": {
			func(t *testing.T) variables { return httpTo(faultcollector.Start(t).GRPC) },
			found{check: "protocol", level: doctor.Failure, message: []string{"HTTP/2"}, advice: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "4317"}},
			0,
		},
		"HTTP to a web server": {
			func(t *testing.T) variables { return httpTo(plaintext(t, webPage)) },
			found{check: "protocol", level: doctor.Failure, message: []string{"200 OK"}},
			0,
		},
		"HTTP to a server that redirects": {
			func(t *testing.T) variables {
				return httpTo(plaintext(t, http.RedirectHandler("https://example.org/", http.StatusMovedPermanently).ServeHTTP))
			},
			found{check: "protocol", level: doctor.Failure, message: []string{"301"}},
			0,
		},
		"gRPC to a web server": {
			func(t *testing.T) variables { return grpcTo(plaintext(t, webPage)) },
			found{check: "protocol", level: doctor.Failure},
			0,
		},
		"credentials are missing over HTTP": {
			func(t *testing.T) variables { return httpTo(plaintext(t, status(401))) },
			found{check: "authentication", level: doctor.Failure, message: []string{"401"}, advice: []string{"No header was sent", "OTEL_EXPORTER_OTLP_HEADERS"}},
			0,
		},
		"credentials are wrong over HTTP": {
			func(t *testing.T) variables {
				return httpTo(plaintext(t, status(403))).with("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20secret,x-scope=shop")
			},
			found{check: "authentication", level: doctor.Failure, message: []string{"403"}, advice: []string{"authorization and x-scope"}},
			0,
		},
		"credentials are missing over gRPC": {
			func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated}))
			},
			found{check: "authentication", level: doctor.Failure, message: []string{"UNAUTHENTICATED"}},
			0,
		},
		"credentials are wrong over gRPC": {
			func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.PermissionDenied})).with("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
			},
			found{check: "authentication", level: doctor.Failure, message: []string{"PERMISSION_DENIED"}, advice: []string{"api-key"}},
			0,
		},
		"a path that is not there": {
			func(t *testing.T) variables { return httpTo(plaintext(t, status(404))) },
			found{check: "path", level: doctor.Failure, message: []string{"404"}, advice: []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
			0,
		},
		"a service of gRPC that is not there": {
			func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Unimplemented}))
			},
			found{check: "path", level: doctor.Failure, message: []string{"UNIMPLEMENTED"}},
			0,
		},
		"a signal without a pipeline over HTTP": {
			func(t *testing.T) variables {
				return answering(t, true, refusing("logs", faultcollector.Reply{Status: 404}))
			},
			found{check: "pipeline", level: doctor.Failure, message: []string{"does not take logs", "404"}, advice: []string{"pipeline for logs"}},
			0,
		},
		"signals without a pipeline over gRPC": {
			func(t *testing.T) variables {
				return answering(t, false, func(r faultcollector.Request) faultcollector.Reply {
					if r.Signal == "traces" {
						return faultcollector.Reply{}
					}
					return faultcollector.Reply{Code: codes.Unimplemented, Message: "unknown service"}
				})
			},
			found{check: "pipeline", level: doctor.Failure, message: []string{"does not take metrics and logs", "unknown service"}},
			0,
		},
		"a Collector that takes nothing for now": {
			func(t *testing.T) variables {
				return answering(t, true, faultcollector.Always(faultcollector.Reply{Status: 503}))
			},
			found{check: "overload", level: doctor.Failure, message: []string{"503"}, advice: []string{"memory limiter"}},
			0,
		},
		"a Collector that takes nothing for now, over gRPC": {
			func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Unavailable, Message: "data refused due to high memory usage"}))
			},
			found{check: "overload", level: doctor.Failure, message: []string{"high memory usage"}, advice: []string{"memory limiter"}},
			0,
		},
		"a Collector that fails": {
			func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Internal, Message: "boom"}))
			},
			found{check: "export", level: doctor.Failure, message: []string{"INTERNAL", "boom"}, advice: []string{"log"}},
			0,
		},
		"a server that says nothing": {
			func(t *testing.T) variables { return grpcTo(listener(t, "127.0.0.1:0", silence)) },
			found{check: "answer", level: doctor.Failure, advice: []string{"does not answer"}},
			time.Second,
		},
		"a server that says nothing over HTTP": {
			func(t *testing.T) variables { return httpTo(listener(t, "127.0.0.1:0", silence)) },
			found{check: "answer", level: doctor.Failure},
			time.Second,
		},
		"a server that says nothing over TLS": {
			func(t *testing.T) variables { return httpTo(listener(t, "127.0.0.1:0", silence)).overTLS("") },
			found{check: "tls", level: doctor.Failure, message: []string{"no answer within"}},
			time.Second,
		},
		"a server that closes connections": {
			func(t *testing.T) variables { return grpcTo(listener(t, "127.0.0.1:0", func(net.Conn) {})) },
			found{check: "answer", level: doctor.Failure},
			time.Second,
		},
		"a server that does not end": {
			func(t *testing.T) variables {
				return httpTo(plaintext(t, func(w http.ResponseWriter, r *http.Request) {
					for r.Context().Err() == nil {
						_, _ = w.Write(make([]byte, 1<<10))
					}
				}))
			},
			found{check: "protocol", level: doctor.Failure},
			time.Second,
		},
		"a server that does not end its header": {
			func(t *testing.T) variables {
				return httpTo(listener(t, "127.0.0.1:0", func(conn net.Conn) {
					line := []byte("HTTP/1.1 200 OK\r\nx: ")
					for {
						if _, err := conn.Write(line); err != nil {
							return
						}
						line = []byte("x")
					}
				}))
			},
			found{check: "answer", level: doctor.Failure},
			time.Second,
		},
		"a server that dribbles": {
			func(t *testing.T) variables {
				return httpTo(listener(t, "127.0.0.1:0", func(conn net.Conn) {
					for line := "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"; ; line = "x" {
						if _, err := io.WriteString(conn, line); err != nil {
							return
						}
						<-time.After(10 * time.Millisecond)
					}
				}))
			},
			found{check: "answer", level: doctor.Failure, advice: []string{"load"}},
			time.Second,
		},
		"a server that speaks something else": {
			func(t *testing.T) variables {
				return grpcTo(listener(t, "127.0.0.1:0", func(conn net.Conn) {
					_, _ = io.WriteString(conn, "220 mail.example.org ESMTP\r\n")
					silence(conn)
				}))
			},
			found{check: "answer", level: doctor.Failure},
			time.Second,
		},
		"signals are off": {
			func(*testing.T) variables {
				return variables{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
			},
			found{check: "disabled", message: []string{"no signal is pushed"}},
			0,
		},
		"all of telemetry is off": {
			func(*testing.T) variables { return variables{"OTEL_SDK_DISABLED": "true"} },
			found{check: "disabled", message: []string{"no signal is pushed"}},
			0,
		},
		"an endpoint that is none": {
			func(*testing.T) variables { return variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://collector"} },
			found{check: "not-configured", level: doctor.Failure, message: []string{"nothing is pushed"}},
			0,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			documented(t, test.want.check)
			test.variables(t).set(t)
			test.want.in(t, doctor.Run(t.Context(), doctor.Config{Timeout: cmp.Or(test.timeout, 5*time.Second)}))
		})
	}
}

// authorityOf writes the certificate of a server to a file.
func authorityOf(t *testing.T, address string, config *tls.Config) (file string) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // it has told what it can
	file = filepath.Join(t.TempDir(), "authority.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// documented checks that users find the checks of a test in the documentation.
func documented(t *testing.T, checks ...string) {
	t.Helper()
	page, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range checks {
		if !strings.Contains(string(page), "\n| `"+check+"` |") {
			t.Errorf("docs/doctor.md has no row for %s", check)
		}
	}
}

func TestSignalsToDifferentPlaces(t *testing.T) {
	c := faultcollector.Start(t)
	grpcTo(c.GRPC).with("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://"+nobody(t)).set(t)
	report := doctor.Run(t.Context(), doctor.Config{Timeout: 5 * time.Second})
	if exports := of(report, "otlp", "export"); len(exports) != 1 || !says(exports[0].Message, "takes traces and metrics") {
		t.Errorf("got %+v, want traces and metrics taken", exports)
	}
	if connections := of(report, "otlp", "connection"); len(connections) != 2 || report.Level() != doctor.Failure {
		t.Errorf("got %+v, want one to the Collector and one refused", connections)
	}
}

func TestNothingIsSentButEmptyExports(t *testing.T) {
	c := faultcollector.Start(t)
	grpcTo(c.GRPC).with("OTEL_METRICS_EXPORTER", "otlp,console").set(t)
	doctor.Run(t.Context(), doctor.Config{})
	got := c.Received()
	if len(got.SpanIDs()) != 0 || len(got.LogBodies()) != 0 {
		t.Errorf("got spans %v and log records %v, want none", got.SpanIDs(), got.LogBodies())
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	grpcTo(listener(t, "127.0.0.1:0", silence)).set(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := doctor.Run(ctx, doctor.Config{})
	if unfinished := of(report, "otlp", "unfinished"); len(unfinished) != 1 || !says(unfinished[0].Message, "interrupted") {
		t.Errorf("got %+v, want what is not known", report.Findings)
	}
}

func TestRunEndsInTime(t *testing.T) {
	grpcTo(listener(t, "127.0.0.1:0", silence)).with("OTEL_TRACES_EXPORTER", "otlp").set(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	report := doctor.Run(ctx, doctor.Config{})
	if unfinished := of(report, "otlp", "unfinished"); len(unfinished) != 1 || report.Level() != doctor.Failure {
		t.Errorf("got %+v, want what is not known", report.Findings)
	}
}
