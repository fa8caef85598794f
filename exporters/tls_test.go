package exporters_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// authority issues certificates for 127.0.0.1.
type authority struct {
	certificate string // file
	parsed      *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issued are the files of a certificate.
type issued struct{ certificate, key string }

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	key, der := sign(t, template, nil)
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{writePEM(t, "CERTIFICATE", der), parsed, key}
}

func (a *authority) issue(t *testing.T) issued {
	t.Helper()
	key, der := sign(t, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return issued{writePEM(t, "CERTIFICATE", der), writePEM(t, "PRIVATE KEY", encoded)}
}

// sign makes a key and its certificate, signed by itself without an authority.
func sign(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, parentKey := template, key
	if by != nil {
		parent, parentKey = by.parsed, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// server returns the configuration of a server; with clients it wants a
// certificate of theirs.
func (a *authority) server(t *testing.T, clients bool) *tls.Config {
	t.Helper()
	files := a.issue(t)
	pair, err := tls.LoadX509KeyPair(files.certificate, files.key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if clients {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.pool()
	}
	return config
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.parsed)
	return pool
}

func TestTLS(t *testing.T) { // not parallel: it sets variables
	authority := newAuthority(t)
	client := authority.issue(t)
	for name, mutual := range map[string]bool{"the server's certificate is checked": false, "the client's certificate is sent": true} {
		t.Run(name, func(t *testing.T) {
			for _, protocol := range []string{protocolGRPC, protocolHTTP} {
				t.Run(protocol, func(t *testing.T) {
					collector := faultcollector.Start(t)
					config, target := authority.server(t, mutual), collector.GRPC
					if protocol == protocolHTTP {
						config.NextProtos, target = []string{"http/1.1"}, collector.HTTP
					}
					front := startRelay(t, "127.0.0.1:0", target, config)
					t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://"+front.address)
					t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
					t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.certificate)
					if mutual {
						t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", client.certificate)
						t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", client.key)
					}
					s := start(t, exporters.OTLP{})
					s.emit(t)
					if err := s.flush(patience(t)); err != nil {
						t.Fatal(err)
					}
					checkContent(t, collector.Received())
				})
			}
		})
	}
}

func TestTLSField(t *testing.T) {
	t.Parallel()
	authority, collector := newAuthority(t), faultcollector.Start(t)
	front := startRelay(t, "127.0.0.1:0", collector.GRPC, authority.server(t, false))
	s := start(t, exporters.OTLP{Endpoint: "https://" + front.address, TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool()}})
	s.emit(t)
	if err := s.flush(patience(t)); err != nil {
		t.Fatal(err)
	}
	checkContent(t, collector.Received())
	if got := front.accepted.Load(); got != 1 {
		t.Errorf("got %d connections, want 1", got)
	}
}

// The configuration belongs to the service, which may use it elsewhere.
func TestTLSFieldIsNotChanged(t *testing.T) {
	t.Parallel()
	authority, collector := newAuthority(t), faultcollector.Start(t)
	served := authority.server(t, false)
	served.NextProtos = []string{"http/1.1"}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool()}
	var senders []*sender
	for range 3 {
		front := startRelay(t, "127.0.0.1:0", collector.HTTP, served)
		senders = append(senders, start(t, exporters.OTLP{Endpoint: "https://" + front.address, Protocol: protocolHTTP, TLS: config}))
	}
	var flushes sync.WaitGroup
	for _, s := range senders {
		flushes.Go(func() {
			s.emit(t)
			if err := s.flush(patience(t)); err != nil {
				t.Error(err)
			}
		})
	}
	flushes.Wait()
	if config.NextProtos != nil {
		t.Errorf("got protocols %q in the configuration, want it left alone", config.NextProtos)
	}
}

func TestUnknownAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	outages(t, func(t *testing.T, address func(*faultcollector.Collector) string, config exporters.OTLP, log *lines) {
		authority, collector := newAuthority(t), faultcollector.Start(t)
		front := startRelay(t, "127.0.0.1:0", address(collector), authority.server(t, false))
		config.Endpoint = "https://" + front.address
		s := start(t, config)
		s.emit(t)
		log.wait(t, "certificate signed by unknown authority")
		if err := s.shutdown(patience(t)); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got error %v, want it to say what is wrong with the certificate", err)
		}
		if all(collector.Received()) {
			t.Error("telemetry went to a server that was not verified")
		}
	})
}
