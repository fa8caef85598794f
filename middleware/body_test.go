package middleware_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/telemetry"
)

func TestTransportRecordsWhenTheBodyEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		end  func(t *testing.T, body io.ReadCloser, more chan<- string)
		size string
	}{
		"by being read to its end": {func(t *testing.T, body io.ReadCloser, more chan<- string) {
			more <- "!"
			close(more)
			if _, err := io.ReadAll(body); err != nil {
				t.Error(err)
			}
		}, "1 of 6 bytes"},
		"by being closed": {func(t *testing.T, body io.ReadCloser, more chan<- string) {
			if err := body.Close(); err != nil {
				t.Error(err)
			}
			close(more)
		}, "1 of 5 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sdk := newClientSDK()
			more := make(chan string, 1)
			url, server := clientServer(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "hello")
				_ = http.NewResponseController(w).Flush()
				for text := range more {
					_, _ = io.WriteString(w, text)
				}
			})
			response, err := sdk.client(t, nil).Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if _, err := io.ReadFull(response.Body, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			if before := sdk.histogram(t, telemetry.ClientDuration); len(before) != 0 || len(sdk.spans.Ended()) != 0 {
				t.Errorf("recorded %v and %d spans before the body ended", before, len(sdk.spans.Ended()))
			}
			tt.end(t, response.Body, more)
			key := "http.request.method=GET,http.response.status_code=200,network.protocol.version=1.1," + server
			if diff := cmp.Diff(map[string]string{key: "1"}, sdk.histogram(t, telemetry.ClientDuration)); diff != "" {
				t.Errorf("durations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]string{key: tt.size}, sdk.histogram(t, telemetry.ClientResponseBodySize)); diff != "" {
				t.Errorf("sizes (-want +got):\n%s", diff)
			}
			if n := len(sdk.spans.Ended()); n != 1 {
				t.Errorf("%d spans, want 1", n)
			}
		})
	}
}

func TestTransportRecordsOnceWhoeverEndsTheBody(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	url, _ := clientServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/endless" {
			<-r.Context().Done()
		}
	})
	client := sdk.client(t, nil)
	const rounds = 30
	for i := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+[]string{"/endless", "/short"}[i%2], http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = io.Copy(io.Discard, response.Body) })
		all.Go(func() { response.Body.Close() })
		all.Go(func() { response.Body.Close() })
		all.Go(cancel)
		all.Wait()
	}
	records := 0
	for series, count := range sdk.histogram(t, telemetry.ClientDuration) {
		if !strings.Contains(series, "status_code=200") {
			t.Errorf("unexpected series %s", series)
		}
		records += clientCount(t, count)
	}
	if records != rounds || len(sdk.spans.Ended()) != rounds {
		t.Errorf("%d records and %d spans of %d requests", records, len(sdk.spans.Ended()), rounds)
	}
}

func TestTransportKeepsStreamsOutOfTheLatency(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	more := make(chan struct{})
	url, server := clientServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "data: 2\n\n")
	})
	response, err := sdk.client(t, nil).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	want := map[string]string{"http.request.method=GET,http.response.status_code=200,network.protocol.version=1.1," + server: "1"}
	if diff := cmp.Diff(want, sdk.histogram(t, telemetry.ClientStreamFirstByte)); diff != "" {
		t.Errorf("first bytes (-want +got):\n%s", diff)
	}
	if early := sdk.histogram(t, telemetry.ClientStreamDuration); len(early) != 0 {
		t.Errorf("recorded %v before the stream ended", early)
	}
	close(more)
	if text, err := io.ReadAll(response.Body); string(text) != "data: 1\n\ndata: 2\n\n" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	if diff := cmp.Diff(want, sdk.histogram(t, telemetry.ClientStreamDuration)); diff != "" {
		t.Errorf("stream durations (-want +got):\n%s", diff)
	}
	if d := sdk.histogram(t, telemetry.ClientDuration); len(d) != 0 {
		t.Errorf("the stream is in the latency: %v", d)
	}
}

// clientEcho upgrades the connection and sends back what it gets.
func clientEcho(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
}

func TestTransportUpgradesConnections(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	url, server := clientServer(t, clientEcho)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	response, err := sdk.client(t, nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	conn, ok := response.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	if !ok {
		t.Fatalf("the body is a %T", response.Body)
	}
	if _, err := io.WriteString(conn, "ping\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "ping\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(conn); len(rest) != 0 || err != nil {
		t.Errorf("got %q, %v after CloseWrite", rest, err)
	}
	want := map[string]string{"http.request.method=GET,http.response.status_code=101,network.protocol.version=1.1," + server: "1"}
	for _, name := range []string{telemetry.ClientStreamDuration, telemetry.ClientStreamFirstByte} {
		if diff := cmp.Diff(want, sdk.histogram(t, name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{telemetry.ClientDuration, telemetry.ClientResponseBodySize} {
		if got := sdk.histogram(t, name); len(got) != 0 {
			t.Errorf("%s has %v", name, got)
		}
	}
}

func TestTransportWriteErrorsEndUpgradedConnections(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	body := struct {
		io.ReadCloser
		io.Writer
	}{io.NopCloser(strings.NewReader("")), clientBrokenWriter{}}
	response, err := sdk.client(t, clientBase(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: body, ProtoMajor: 1, ProtoMinor: 1}, nil
	})).Get("http://api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	conn := response.Body.(interface {
		io.Writer
		CloseWrite() error
	})
	if _, err := io.WriteString(conn, "x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	if err := conn.CloseWrite(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("CloseWrite returned %v of a connection that cannot", err)
	}
	for series := range sdk.histogram(t, telemetry.ClientStreamDuration) {
		if got, want := clientOutcome(series), "error.type=_OTHER,status=101,version=1.1"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n := len(sdk.spans.Ended()); n != 1 {
		t.Errorf("%d spans have ended, want 1", n)
	}
}

type clientBrokenWriter struct{}

func (clientBrokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestTransportLeavesOutSizesThatAreNotKnown(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	url, _ := clientServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		compressed := gzip.NewWriter(w)
		_, _ = io.WriteString(compressed, strings.Repeat("a", 1000))
		_ = compressed.Close()
	})
	response, err := sdk.client(t, nil).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); len(text) != 1000 || err != nil {
		t.Errorf("read %d bytes, %v", len(text), err)
	}
	if sizes := sdk.histogram(t, telemetry.ClientResponseBodySize); len(sizes) != 0 {
		t.Errorf("recorded %v", sizes)
	}
	if n := len(sdk.histogram(t, telemetry.ClientDuration)); n != 1 {
		t.Errorf("%d durations, want 1", n)
	}
}
