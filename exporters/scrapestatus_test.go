package exporters_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/exporters"
)

// elsewhere makes a listener on loopback look like one on another interface.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9464} }

func listenElsewhere(ctx context.Context, network, _ string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, "127.0.0.1:0")
	return elsewhere{listener}, err
}

func TestListen(t *testing.T) {
	t.Parallel()
	var asked string
	server, provider := serve(t, exporters.Prometheus{
		Address: "metrics.example:9464",
		Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
			asked = network + " " + address
			return (&net.ListenConfig{}).Listen(ctx, network, "127.0.0.1:0")
		},
	})
	if want := "tcp metrics.example:9464"; asked != want {
		t.Errorf("got a listener for %q, want %q", asked, want)
	}
	record(t, provider)
	checkBody(t, scrape(t, server, "").body, "orders_total")
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkFree(t, "127.0.0.1:"+portOf(t, server.URL()))
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("nothing was handed over")
	server, _, err := serveWithError(t, exporters.Prometheus{
		Listen: func(context.Context, string, string) (net.Listener, error) { return nil, broken },
	})
	if !errors.Is(err, broken) {
		t.Errorf("got error %v, want it to wrap %v", err, broken)
	}
	checkError(t, err, "metrics are not served", `Prometheus.Address="127.0.0.1:0"`, "nothing was handed over")
	if got := server.Status(); got.URL != "" || got.Local || got.Password || got.ClientCAs {
		t.Errorf("got %+v, want nothing served", got)
	}
}

func TestListenReturnsNothing(t *testing.T) {
	t.Parallel()
	server, _, err := serveWithError(t, exporters.Prometheus{
		Listen: func(context.Context, string, string) (net.Listener, error) { return nil, nil }, //nolint:nilnil // on purpose
	})
	checkError(t, err, "metrics are not served", "Prometheus.Listen returned no listener and no error")
	if got := server.URL(); got != "" {
		t.Errorf("got the address %q, want none", got)
	}
}

func TestListenOnAUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	server, provider := serve(t, exporters.Prometheus{
		Listen: func(ctx context.Context, _, _ string) (net.Listener, error) {
			return (&net.ListenConfig{}).Listen(ctx, "unix", path)
		},
	})
	record(t, provider)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	request, err := http.NewRequestWithContext(patience(t), http.MethodGet, "http://socket/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := server.Status(); got.URL != "" || !got.Local || got.Password || got.ClientCAs || got.Scrapes != 1 {
		t.Errorf("got %+v, want one scrape of a local listener without a URL", got)
	}
}

func TestScrapesAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, _ := serve(t, exporters.Prometheus{DisableListener: true})
		if got := server.Status(); got.Scrapes != 0 || !got.LastScrape.IsZero() || got.Local || got.Password || got.ClientCAs {
			t.Errorf("got %+v, want none", got)
		}
		var last time.Time
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			<-time.After(time.Minute)
			if method != http.MethodPost { // which asks for no page
				last = time.Now()
			}
			server.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/metrics", http.NoBody))
		}
		if got := server.Status(); got.Scrapes != 2 || !got.LastScrape.Equal(last) {
			t.Errorf("got %+v, want 2, the last at %v", got, last)
		}
	})
}

func TestStatusOfTheWebConfigurationFile(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	files := authority.issue(t)
	users := "basic_auth_users:\n  user: $2a$04$PEbcNKuKFvDTtRkWd5cSl.sZtBCzxvJLSgWCcnvcnv7QZgNWcSDsW\n"
	certificate := "tls_server_config:\n  cert_file: " + files.certificate + "\n  key_file: " + files.key + "\n"
	clients := "  client_auth_type: RequireAndVerifyClientCert\n"
	roots := "  client_ca_file: " + authority.certificate + "\n"
	tests := map[string]struct {
		webConfig           string
		password, clientCAs bool
	}{
		"nothing stands before it":                    {"", false, false},
		"a password is asked for":                     {users, true, false},
		"no user is named":                            {"basic_auth_users: {}\n", false, false},
		"TLS alone":                                   {certificate, false, false},
		"a certificate of our authority is asked for": {certificate + clients + roots, false, true},
		"a certificate of any authority is asked for": {certificate + clients, false, false},
		"both are asked for":                          {certificate + clients + roots + users, true, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := exporters.Prometheus{Listen: listenElsewhere}
			if test.webConfig != "" {
				config.WebConfigFile = webConfig(t, test.webConfig)
			}
			server, _ := serve(t, config)
			if got := server.Status(); got.Password != test.password || got.ClientCAs != test.clientCAs {
				t.Errorf("got %+v, want password %v and authorities %v", got, test.password, test.clientCAs)
			}
		})
	}
}

// The listener obeys the file as it is now, and so does the status.
func TestStatusFollowsTheWebConfigurationFile(t *testing.T) {
	t.Parallel()
	const users = "basic_auth_users:\n  user: $2a$04$PEbcNKuKFvDTtRkWd5cSl.sZtBCzxvJLSgWCcnvcnv7QZgNWcSDsW\n"
	path := webConfig(t, users)
	server, _ := serve(t, exporters.Prometheus{WebConfigFile: path, Listen: listenElsewhere})
	for _, content := range []string{users, "", users, "{garbage"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, want := server.Status().Password, content == users; got != want {
			t.Errorf("got password %v with %q, want %v", got, content, want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if server.Status().Password {
		t.Error("got a password by a file that is gone")
	}
}

// What ClientCAs says is what the listener does.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	files := authority.issue(t)
	server, _ := serve(t, exporters.Prometheus{WebConfigFile: webConfig(t, "tls_server_config:\n  cert_file: "+files.certificate+"\n  key_file: "+files.key+
		"\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: "+authority.certificate+"\n")})
	stranger := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.pool()}
	if got, err := get(t, server.URL(), "", "", stranger); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("got status %d and error %v without a certificate", got.status, err)
	}
	pair, err := tls.LoadX509KeyPair(files.certificate, files.key)
	if err != nil {
		t.Fatal(err)
	}
	known := stranger.Clone()
	known.Certificates = []tls.Certificate{pair}
	if got, err := get(t, server.URL(), "", "", known); err != nil || got.status != http.StatusOK {
		t.Errorf("got status %d and error %v with a certificate", got.status, err)
	}
}
