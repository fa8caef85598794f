package proxy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/proxy"
)

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificateFile returns a file with the certificate of the server.
func certificateFile(t testing.TB, server *httptest.Server) string {
	t.Helper()
	return writeFile(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// newClientCertificate returns a certificate, and the files with it and its key.
func newClientCertificate(t testing.TB) (certificate *x509.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return certificate,
		writeFile(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		writeFile(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// protocol answers with the protocol of the request, its trailer and its client.
func protocol(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Trailer", "Back")
	_, _ = io.WriteString(w, r.Proto+" "+r.Trailer.Get("There"))
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		_, _ = io.WriteString(w, " certificate "+r.TLS.PeerCertificates[0].SerialNumber.String())
	}
	w.Header().Set("Back", "2")
}

// exchange sends a request with trailers to the proxy and returns what is
// answered.
func exchange(t testing.TB, p *proxied) (status int, body, trailer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL, bytes.NewReader(make([]byte, 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength, request.Trailer = -1, http.Header{"There": {"1"}}
	response, err := p.Client().Transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read), response.Trailer.Get("Back")
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	h2c := func(server *httptest.Server) {
		server.Config.Protocols = &http.Protocols{}
		server.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	plain := func(*httptest.Server) {}
	certificate, certFile, keyFile := newClientCertificate(t)
	mutual := func(server *httptest.Server) {
		pool := x509.NewCertPool()
		pool.AddCert(certificate)
		server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
		server.EnableHTTP2 = true
		server.StartTLS()
	}
	for name, test := range map[string]struct {
		upstream  func(*httptest.Server)
		scheme    string
		configure func(*proxy.Upstream)
		want      string
	}{
		"HTTP/1.1":           {plain, "http", nil, "HTTP/1.1 1"},
		"HTTP/1.1 with TLS":  {(*httptest.Server).StartTLS, "https", nil, "HTTP/1.1 1"},
		"HTTP/2":             {withHTTP2, "https", nil, "HTTP/2.0 1"},
		"HTTP/2 without TLS": {h2c, "h2c", nil, "HTTP/2.0 1"},
		"a client certificate": {mutual, "https", func(u *proxy.Upstream) {
			u.TLS.CertFile, u.TLS.KeyFile = certFile, keyFile
		}, "HTTP/2.0 1 certificate 1"},
		"another name in the certificate": {withHTTP2, "https", func(u *proxy.Upstream) {
			u.TLS.ServerName = "example.com"
		}, "HTTP/2.0 1"},
	} {
		for inbound, start := range map[string]func(*httptest.Server){"HTTP/1.1": plain, "HTTP/2": withHTTP2} {
			t.Run(name+" from "+inbound, func(t *testing.T) {
				t.Parallel()
				upstream := newServer(t, http.HandlerFunc(protocol), test.upstream)
				u := proxy.Upstream{URL: test.scheme + "://" + upstream.Listener.Addr().String()}
				if test.scheme == "https" {
					u.TLS.CAFile = certificateFile(t, upstream)
				}
				if test.configure != nil {
					test.configure(&u)
				}
				p := newProxied(t, proxy.Config{Upstreams: []proxy.Upstream{u}}, start)
				status, body, trailer := exchange(t, p)
				same(t, "status", http.StatusOK, status)
				same(t, "body", test.want, body)
				same(t, "trailer", "2", trailer)
			})
		}
	}
}

func TestUpstreamsThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	certificate, _, _ := newClientCertificate(t)
	for name, test := range map[string]struct {
		start      func(*httptest.Server)
		serverName string
		trusted    bool
	}{
		"an unknown authority": {(*httptest.Server).StartTLS, "", false},
		"another name":         {(*httptest.Server).StartTLS, "example.org", true},
		"a certificate is wanted": {func(server *httptest.Server) {
			pool := x509.NewCertPool()
			pool.AddCert(certificate)
			server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
			server.StartTLS()
		}, "", true},
		"an old version": {func(server *httptest.Server) {
			server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
			server.StartTLS()
		}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := newServer(t, http.HandlerFunc(protocol), test.start)
			cfg := to(upstream.URL)
			cfg.Upstreams[0].TLS.ServerName = test.serverName
			if test.trusted {
				cfg.Upstreams[0].TLS.CAFile = certificateFile(t, upstream)
			}
			p := newProxied(t, cfg)
			status, body := get(t, p.URL)
			same(t, "status", http.StatusBadGateway, status)
			same(t, "body", `{"error":{"message":"no trusted connection to the upstream could be made","type":"otelmon_upstream_tls","upstream":"api"}}`+"\n", body)
			p.eventually(t, telemetry.ProxyUpstreamFailures, "error.type=tls otelmon.proxy.upstream=api = 1")
		})
	}
}
