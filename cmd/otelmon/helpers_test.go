package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Tests that start the proxy are not parallel: it sets the process's telemetry
// up, from variables, and listens to its signals.

// quiet keeps telemetry within the process, for tests without a Collector.
func quiet() map[string]string {
	return map[string]string{
		"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "prometheus",
		"OTEL_SERVICE_NAME": "", "OTEL_RESOURCE_ATTRIBUTES": "",
	}
}

// patience bounds what a test, or its end, waits for.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// lines is a log that can be waited for.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{}
}

func newLines() *lines { return &lines{wrote: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.wrote <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns the first match of the pattern, as FindStringSubmatch does.
func (l *lines) wait(t *testing.T, pattern string) []string {
	t.Helper()
	ctx, compiled := patience(t), regexp.MustCompile(pattern)
	for {
		if found := compiled.FindStringSubmatch(l.String()); found != nil {
			return found
		}
		select {
		case <-l.wrote:
		case <-ctx.Done():
			t.Fatalf("no line %s in\n%s", pattern, l)
		}
	}
}

// running is a proxy within this process.
type running struct {
	address, metrics string
	log              *lines
	stop             context.CancelFunc
	code             chan int
}

// start returns once the proxy serves.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
		for name, value := range quiet() {
			t.Setenv(name, value)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{log: newLines(), stop: cancel, code: make(chan int, 1)}
	args = append([]string{"proxy", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}, args...)
	go func() { r.code <- run(ctx, args, os.Environ(), io.Discard, r.log) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-r.code:
		case <-patience(t).Done():
			t.Errorf("the proxy does not end:\n%s", r.log)
		}
	})
	found := r.log.wait(t, `msg=serving listen=(\S+) .*metrics=(\S+)/metrics `)
	r.address, r.metrics = found[1], found[2]
	return r
}

// end returns the exit code.
func (r *running) end(t *testing.T) int {
	t.Helper()
	r.stop()
	return r.wait(t)
}

func (r *running) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-r.code:
		r.code <- code
		return code
	case <-patience(t).Done():
		t.Fatalf("the proxy does not end:\n%s", r.log)
		return 0
	}
}

// get returns status and body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response := ask(t, http.DefaultClient, url)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("%s: %v", url, err)
	}
	return response.StatusCode, string(body)
}

func ask(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(patience(t), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// api is an upstream. Under /stream it answers by its name and, once it is
// released, by "end"; elsewhere by its name.
type api struct {
	url     string
	release func()
}

func newAPI(t *testing.T, name string) *api {
	t.Helper()
	released := make(chan struct{})
	a := &api{release: sync.OnceFunc(func() { close(released) })}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.WriteString(w, name); err != nil || r.URL.Path != "/stream" {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-released:
			_, _ = io.WriteString(w, " end")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { a.release(); server.Close() })
	a.url = server.URL
	return a
}

// stream is an answer that has begun.
type stream struct{ response *http.Response }

func openStream(t *testing.T, url string) *stream {
	t.Helper()
	s := &stream{ask(t, http.DefaultClient, url+"/stream")}
	t.Cleanup(func() { s.response.Body.Close() })
	if _, err := io.ReadFull(s.response.Body, make([]byte, 1)); err != nil {
		t.Fatalf("the stream did not begin: %v", err)
	}
	return s
}

// rest is what comes after the first byte.
func (s *stream) rest() (string, error) {
	body, err := io.ReadAll(s.response.Body)
	return string(body), err
}

// certificateFiles makes a certificate that signs itself, for servers and
// clients.
func certificateFiles(t *testing.T, folder string) listenerTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "proxy"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := listenerTLS{certFile: filepath.Join(folder, "cert.pem"), keyFile: filepath.Join(folder, "key.pem")}
	overwrite(t, files.certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	overwrite(t, files.keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return files
}

// wantLog checks that each text is, or is not, in a log.
func wantLog(t *testing.T, log *lines, want bool, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(log.String(), text) != want {
			t.Errorf("%q in the log: want %v\n%s", text, want, log)
		}
	}
}
