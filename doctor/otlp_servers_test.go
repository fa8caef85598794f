package doctor_test

import (
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
