package exporters_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/crypto/bcrypt"

	"github.com/otelmon/toolkit/exporters"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		address, wantURL string
		wantLoopback     bool
	}{
		"the IPv4 loopback address": {"127.0.0.1:0", "http://localhost:", true},
		"the name of loopback":      {"localhost:0", "http://localhost:", true},
		"the IPv6 loopback address": {"[::1]:0", "http://[::1]:", true},
		"all IPv4 addresses":        {"0.0.0.0:0", "http://localhost:", false},
		"all addresses":             {":0", "http://localhost:", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if probe, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", test.address); err != nil {
				t.Skipf("this machine has no such address: %v", err)
			} else {
				probe.Close()
			}
			server, _ := serve(t, exporters.Prometheus{Address: test.address})
			url := server.URL()
			if !strings.HasPrefix(url, test.wantURL) || !strings.HasSuffix(url, "/metrics") || strings.Contains(url, ":0/") {
				t.Errorf("got URL %q, want one that begins with %q", url, test.wantURL)
			}
			if got := server.Loopback(); got != test.wantLoopback {
				t.Errorf("got loopback %v, want %v", got, test.wantLoopback)
			}
			scrape(t, server, "")
		})
	}
}

func TestAddressVariables(t *testing.T) { // not parallel: it sets variables
	t.Run("host and port are used", func(t *testing.T) {
		t.Setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
		t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
		server, _ := serve(t, exporters.Prometheus{})
		scrape(t, server, "")
	})
	t.Run("a port that is none is an error", func(t *testing.T) {
		t.Setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.9") // where no test listens
		t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "70000")
		_, _, err := serveWithError(t, exporters.Prometheus{})
		checkError(t, err, `OTEL_EXPORTER_PROMETHEUS_PORT="70000"`, "9464 is used", "accepted: a number, 0 to 65535")
	})
	t.Run("a port in use is an error", func(t *testing.T) {
		used, _ := serve(t, exporters.Prometheus{})
		port := portOf(t, used.URL())
		t.Setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
		t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", port)
		_, _, err := serveWithError(t, exporters.Prometheus{})
		checkError(t, err, "metrics are not served", "OTEL_EXPORTER_PROMETHEUS_PORT="+port, "address already in use", "accepted: a free address")
	})
}

func portOf(t *testing.T, url string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimSuffix(url[strings.Index(url, "//")+2:], "/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// With a port in use the handler works, as it does without a listener at all.
func TestHandlerWithoutListener(t *testing.T) {
	t.Parallel()
	used, _ := serve(t, exporters.Prometheus{})
	address := "127.0.0.1:" + portOf(t, used.URL())
	tests := map[string]struct {
		config  exporters.Prometheus
		wantErr string
	}{
		"a port in use":           {exporters.Prometheus{Address: address}, `Prometheus.Address="` + address + `"`},
		"an address of others":    {exporters.Prometheus{Address: "192.0.2.1:0"}, `Prometheus.Address="192.0.2.1:0"`},
		"an address without port": {exporters.Prometheus{Address: "localhost"}, `Prometheus.Address="localhost"`},
		"no listener":             {exporters.Prometheus{Address: address, DisableListener: true}, ""},
		"pages and no listener": {
			exporters.Prometheus{DisableListener: true, Handlers: map[string]http.Handler{"/live": http.NotFoundHandler()}},
			"Prometheus.Handlers are not served (/live), because there is no listener (Prometheus.DisableListener)",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, provider, err := serveWithError(t, test.config)
			if test.wantErr != "" {
				checkError(t, err, test.wantErr)
			} else if err != nil {
				t.Error(err)
			}
			if server.URL() != "" || !server.Loopback() {
				t.Errorf("got URL %q and loopback %v, want none and true", server.URL(), server.Loopback())
			}
			record(t, provider)
			recorder := httptest.NewRecorder()
			server.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
			checkBody(t, recorder.Body.String(), `orders_total{service_name="shop"} 1`)
			gathered, err := server.Gatherer().Gather()
			if err != nil || len(gathered) == 0 {
				t.Errorf("got %d families and error %v from the Gatherer", len(gathered), err)
			}
			if err := server.Shutdown(t.Context()); err != nil {
				t.Errorf("got error %v from Shutdown", err)
			}
		})
	}
}

func TestHandlers(t *testing.T) {
	t.Parallel()
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	server, _ := serve(t, exporters.Prometheus{Handlers: map[string]http.Handler{"GET /hello": hello}})
	got, err := get(t, strings.TrimSuffix(server.URL(), "metrics")+"hello", "", "", nil)
	if err != nil || got.body != "hello" {
		t.Errorf("got %+v (%v), want hello", got, err)
	}
	scrape(t, server, "")

	tests := map[string]struct {
		pattern string
		handler http.Handler
	}{
		"the pattern of metrics": {"/metrics", hello},
		"an empty pattern":       {"", hello},
		"a malformed pattern":    {"GET", hello},
		"no handler":             {"/none", nil},
	}
	for name, test := range tests {
		t.Run(name+" is refused", func(t *testing.T) {
			t.Parallel()
			server, _, err := serveWithError(t, exporters.Prometheus{Handlers: map[string]http.Handler{test.pattern: test.handler}})
			checkError(t, err, fmt.Sprintf("Prometheus.Handlers[%q]", test.pattern), "accepted: a pattern")
			scrape(t, server, "")
		})
	}
}

// A scrape ends in seconds, while a live page or a profile may go on.
func TestOnlyMetricsAreCutOff(t *testing.T) {
	t.Parallel()
	server, _ := serve(t, exporters.Prometheus{})
	if got := server.WriteTimeout(); got != 0 {
		t.Errorf("got a limit of %v for all pages, want none", got)
	}
}

func webConfig(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWebConfig(t *testing.T) { // not parallel: it sets a variable
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	authority := newAuthority(t)
	files := authority.issue(t)
	users := "basic_auth_users:\n  user: " + string(hash) + "\n"
	certificate := "tls_server_config:\n  cert_file: " + files.certificate + "\n  key_file: " + files.key + "\n"
	tests := map[string]struct {
		content, wantScheme string
		wantPassword        bool
	}{
		"a password alone":       {users, "http", true},
		"TLS alone":              {certificate, "https", false},
		"TLS and a password":     {certificate + users, "https", true},
		"TLS that is left empty": {"tls_server_config: {}\n", "http", false},
		"an empty file":          {"", "http", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTELMON_PROMETHEUS_WEB_CONFIG_FILE", webConfig(t, test.content))
			server, _ := serve(t, exporters.Prometheus{})
			if !strings.HasPrefix(server.URL(), test.wantScheme+"://") {
				t.Errorf("got URL %q, want scheme %q", server.URL(), test.wantScheme)
			}
			want := map[string]int{"": http.StatusOK, "password": http.StatusOK}
			if test.wantPassword {
				want = map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, "password": http.StatusOK}
			}
			for password, status := range want {
				got, err := get(t, server.URL(), "", password, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool()})
				if err != nil || got.status != status {
					t.Errorf("got status %d (%v) with password %q, want %d", got.status, err, password, status)
				}
			}
		})
	}
}

func TestBadWebConfigServesNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T) string{
		"a missing file":    func(t *testing.T) string { return filepath.Join(t.TempDir(), "missing.yml") },
		"a file of garbage": func(t *testing.T) string { return webConfig(t, "{garbage") },
		"an unknown key":    func(t *testing.T) string { return webConfig(t, "basic_auth: {}\n") },
		"a missing certificate": func(t *testing.T) string {
			return webConfig(t, "tls_server_config: {cert_file: missing, key_file: missing}\n")
		},
		"a password in clear":            func(t *testing.T) string { return webConfig(t, "basic_auth_users: {user: "+canary+"}\n") },
		"a password where a map belongs": func(t *testing.T) string { return webConfig(t, "basic_auth_users: "+canary+"\n") },
		"a password as an unknown key":   func(t *testing.T) string { return webConfig(t, canary+": x\n") },
		"a password as a client's rule": func(t *testing.T) string {
			files := newAuthority(t).issue(t)
			return webConfig(t, "tls_server_config: {cert_file: "+files.certificate+", key_file: "+files.key+", client_auth_type: "+canary+"}\n")
		},
	}
	for name, file := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, address := file(t), absent(t)
			server, _, err := serveWithError(t, exporters.Prometheus{Address: address, WebConfigFile: path})
			checkError(t, err, "metrics are not served", path, "accepted: a readable file in the exporter-toolkit format, passwords hashed")
			if got := server.URL(); got != "" {
				t.Errorf("got URL %q, want none", got)
			}
			checkFree(t, address)
		})
	}
}

// checkFree wants nobody to listen on the address.
func checkFree(t *testing.T, address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Errorf("the address is not free: %v", err)
		return
	}
	listener.Close()
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	server, _ := serve(t, exporters.Prometheus{})
	address := "127.0.0.1:" + portOf(t, server.URL())
	scrape(t, server, "")
	for range 2 {
		if err := server.Shutdown(t.Context()); err != nil {
			t.Errorf("got error %v", err)
		}
	}
	checkFree(t, address)
}

func TestShutdownCutsRunningScrapesOffAtTheDeadline(t *testing.T) {
	t.Parallel()
	server, provider := serve(t, exporters.Prometheus{})
	entered, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	_, err := provider.Meter("shop").Int64ObservableGauge("slow", metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error {
		entered <- struct{}{}
		<-release
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	cut := make(chan error, 1)
	go func() {
		_, err := get(t, server.URL(), "", "", nil)
		cut <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
	if err := <-cut; err == nil {
		t.Error("the scrape was answered")
	}
}

// Serving may not have begun when Shutdown comes.
func TestShutdownRightAfterStart(t *testing.T) {
	t.Parallel()
	files := newAuthority(t).issue(t)
	configs := map[string]string{
		"in plaintext": "",
		"over TLS":     webConfig(t, "tls_server_config:\n  cert_file: "+files.certificate+"\n  key_file: "+files.key+"\n"),
	}
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newLines()
			for range 200 {
				server, err := exporters.Prometheus{Address: "127.0.0.1:0", WebConfigFile: config, Logger: slog.New(log)}.Start(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := server.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := log.with(""); len(got) > 0 {
				t.Errorf("got lines %q, want none", got)
			}
		})
	}
}

// What a noisy client does is no line in the service's log.
func TestNoiseOfClientsIsNotPrinted(t *testing.T) { // not parallel: it sets the output of package log
	printed := &output{}
	log.SetOutput(printed)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	files := newAuthority(t).issue(t)
	config := webConfig(t, "tls_server_config:\n  cert_file: "+files.certificate+"\n  key_file: "+files.key+"\n")
	own := newLines()
	server, _ := serve(t, exporters.Prometheus{WebConfigFile: config, Logger: slog.New(own)})
	conn, err := (&net.Dialer{}).DialContext(patience(t), "tcp", "127.0.0.1:"+portOf(t, server.URL()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("\x00\x00\x00\x00\x00 noise")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // until the server hangs up
		t.Fatal(err)
	}
	if text := printed.String(); text != "" || len(own.with("")) > 0 {
		t.Errorf("got output %q and lines %q, want none", text, own.with(""))
	}
}

// output keeps what is written to it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
