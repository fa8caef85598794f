package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// trusting is a client that trusts the certificate, and shows it if asked to.
func trusting(t *testing.T, files listenerTLS, show bool) *http.Client {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.certFile, files.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	config := &tls.Config{RootCAs: roots}
	if show {
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestTLS(t *testing.T) {
	folder := t.TempDir()
	files := certificateFiles(t, folder)
	p := start(t, "--upstream", newAPI(t, "one").url, "--tls-cert", files.certFile, "--tls-key", files.keyFile)
	response := ask(t, trusting(t, files, false), "https://"+p.address)
	response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("got HTTP/%d, want HTTP/2", response.ProtoMajor)
	}

	renewed := certificateFiles(t, folder)
	hangUp(t)
	p.log.wait(t, "msg=reloaded")
	response = ask(t, trusting(t, renewed, false), "https://"+p.address)
	response.Body.Close()
	if code := p.end(t); code != succeeded {
		t.Errorf("exit code: got %d, want %d\n%s", code, succeeded, p.log)
	}
}

func TestTLSClientCertificatesAreDemanded(t *testing.T) {
	files := certificateFiles(t, t.TempDir())
	p := start(t, "--upstream", newAPI(t, "one").url,
		"--tls-cert", files.certFile, "--tls-key", files.keyFile, "--tls-client-ca", files.certFile)
	response := ask(t, trusting(t, files, true), "https://"+p.address)
	response.Body.Close()

	request, err := http.NewRequestWithContext(patience(t), http.MethodGet, "https://"+p.address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := trusting(t, files, false).Do(request); err == nil {
		response.Body.Close()
		t.Errorf("got %d without a certificate, want no answer", response.StatusCode)
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	upstream := newAPI(t, "one")
	p := start(t, "--upstream", upstream.url)
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(patience(t), http.MethodGet, "http://"+p.address+"/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("got HTTP/%d, want HTTP/2", response.ProtoMajor)
	}
	p.stop()
	p.log.wait(t, "msg=stopping requests=1")
	upstream.release()
	if body, err := io.ReadAll(response.Body); string(body) != "one end" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	if code := p.wait(t); code != succeeded {
		t.Errorf("exit code: got %d, want %d\n%s", code, succeeded, p.log)
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	p := start(t, "--upstream", newAPI(t, "one").url)
	request, err := http.NewRequestWithContext(patience(t), http.MethodGet, "http://"+p.address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Large", strings.Repeat("a", 70<<10))
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d, want %d", response.StatusCode, http.StatusRequestHeaderFieldsTooLarge)
	}
}

// A client that sends its header slowly holds a connection for 10 s.
func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t.Context(), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
		client, conn := net.Pipe()
		listener := &single{conn: make(chan net.Conn, 1)}
		listener.conn <- conn
		go func() { _ = server.Serve(listener) }()
		start := time.Now()
		say(t, client, "GET / HTTP/1.1\r\nHost: a\r\n")
		if _, err := io.ReadAll(client); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("cut off after %v, want 10s", took)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}

// single is a listener of one connection.
type single struct{ conn chan net.Conn }

func (l *single) Accept() (net.Conn, error) {
	if conn, ok := <-l.conn; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (l *single) Close() error   { close(l.conn); return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

func TestWarningsOfListeners(t *testing.T) {
	files := certificateFiles(t, t.TempDir())
	const warning, plain = "without client certificates", "in plain text"
	tests := map[string]struct {
		args      []string
		want, not []string
	}{
		"none on loopback":                  {nil, nil, []string{warning}},
		"all on other addresses":            {[]string{"--listen", "0.0.0.0:0"}, []string{warning, plain}, nil},
		"one with TLS":                      {[]string{"--listen", "0.0.0.0:0", "--tls-cert", files.certFile, "--tls-key", files.keyFile}, []string{warning}, []string{plain}},
		"none with certificates of clients": {[]string{"--listen", "0.0.0.0:0", "--tls-cert", files.certFile, "--tls-key", files.keyFile, "--tls-client-ca", files.certFile}, nil, []string{warning}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, append([]string{"--upstream", "https://api.example.com"}, test.args...)...)
			p.end(t)
			wantLog(t, p.log, true, test.want...)
			wantLog(t, p.log, false, test.not...)
		})
	}
}

func TestServerLinesAreLimited(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	server := newServer(t.Context(), http.NotFoundHandler(), slog.New(slog.NewTextHandler(&text, nil)))
	for range 1000 {
		server.ErrorLog.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
		server.ErrorLog.Print("http: panic serving 192.0.2.1:1: mistake\ngoroutine 1 [running]:")
	}
	if got := text.String(); strings.Count(got, "\n") != 2 || strings.Contains(got, "goroutine") {
		t.Errorf("got log\n%s\nwant a line of each kind, without a stack", got)
	}
}
