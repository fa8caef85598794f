package zpages_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity writes a certificate that signs itself, for "shop.internal", and its
// key, and returns both as a client has them.
func identity(t *testing.T) (certificate, key string, pair tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"shop.internal"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// A connection counts for what it is, not for what the file asks for by now.
func TestAClientCertificateIsThatOfTheConnection(t *testing.T) {
	t.Parallel()
	certificate, key, pair := identity(t)
	file := filepath.Join(t.TempDir(), "web.yml")
	server := fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\n", certificate, key)
	clients := "  client_ca_file: " + certificate + "\n  client_auth_type: RequireAndVerifyClientCert\n"
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(server + clients)
	cfg := config()
	cfg.Prometheus.Address, cfg.Prometheus.WebConfigFile = ":0", file
	url := strings.TrimSuffix(setUp(t, cfg).MetricsURL(), "metrics") + "zpages/data"
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	get := func(client *http.Client) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "shop.internal"
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	known, stranger := client(t, roots, pair), client(t, roots)
	if got := get(known); got != http.StatusOK {
		t.Errorf("with a certificate: got %d, want 200", got)
	}
	write(server)
	if got := get(stranger); got != http.StatusForbidden {
		t.Errorf("a stranger, when none was asked for one: got %d, want 403", got)
	}
	write(server + clients)
	if got := get(stranger); got != http.StatusForbidden {
		t.Errorf("the same connection, when one is asked for: got %d, want 403", got)
	}
}

// client keeps its connection.
func client(t *testing.T, roots *x509.CertPool, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "shop.internal", Certificates: certificates,
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
