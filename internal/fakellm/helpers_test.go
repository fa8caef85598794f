package fakellm_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/internal/fakellm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	askObject = `{"model":"asked"}`
	askStream = `{"model":"asked","stream":true}`
	askUsage  = `{"model":"asked","stream":true,"stream_options":{"include_usage":true}}`
)

// always answers every request in the same way.
func always(a fakellm.Answer) *fakellm.Upstream {
	return fakellm.New(func(fakellm.Request) fakellm.Answer { return a })
}

// ask calls the upstream without a network.
func ask(t *testing.T, u *fakellm.Upstream, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	u.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
	return w
}

// start serves on a socket until the test ends.
func start(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// post sends a body, and fails the test if no answer begins.
func post(t *testing.T, client *http.Client, url, body string, headers ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func read(t *testing.T, body io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// payloads are the data of the events of a stream.
func payloads(t *testing.T, body string) []string {
	t.Helper()
	var out []string
	for event := range strings.SplitSeq(strings.ReplaceAll(body, "\r\n", "\n"), "\n\n") {
		for line := range strings.SplitSeq(event, "\n") {
			if payload, ok := strings.CutPrefix(line, "data: "); ok {
				out = append(out, payload)
			}
		}
	}
	return out
}

// only is the one record of an upstream.
func only(t *testing.T, u *fakellm.Upstream) fakellm.Record {
	t.Helper()
	if err := u.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	records := u.Records()
	if len(records) != 1 {
		t.Fatalf("%d records, want 1", len(records))
	}
	return records[0]
}
