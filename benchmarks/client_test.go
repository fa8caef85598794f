package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// call sends one request through the instrumented transport and returns the
// answer unread.
func (s *service) call(t *testing.T, srv *server, path string) *http.Response {
	t.Helper()
	client := &http.Client{Transport: s.transport(srv.Client().Transport)}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func finish(t *testing.T, response *http.Response) {
	t.Helper()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

func slowBody(t *testing.T, s *service) string {
	release := make(chan struct{})
	srv := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-release
		write(w, r)
	}))
	response := s.call(t, srv, "/items/1")
	early := len(s.points(t, "http.client.request.duration"))
	close(release)
	finish(t, response)
	late := len(s.points(t, "http.client.request.duration"))
	switch {
	case early == 1 && late == 1:
		return "the duration ends before the body arrives"
	case early == 0 && late == 1:
		return "the duration ends with the body"
	}
	return fmt.Sprintf("%d and %d series", early, late)
}

func secretInQuery(t *testing.T, s *service) string {
	srv := listen(t, http.HandlerFunc(write))
	finish(t, s.call(t, srv, "/items/1?api_key=s3cret"))
	for _, span := range s.spans.GetSpans() {
		for _, a := range span.Attributes {
			if strings.Contains(a.Value.String(), "s3cret") {
				return fmt.Sprintf("the key is in `%s`", a.Key)
			}
		}
	}
	return fmt.Sprintf("%d span, without the key", len(s.spans.GetSpans()))
}

func serverFails(t *testing.T, s *service) string {
	srv := listen(t, http.HandlerFunc(fail))
	finish(t, s.call(t, srv, "/items/1"))
	return s.outcome(t, "client")
}

func answerSize(t *testing.T, s *service) string {
	const name = "http.client.response.body.size"
	srv := listen(t, http.HandlerFunc(write))
	finish(t, s.call(t, srv, "/items/1"))
	for _, p := range s.points(t, name) {
		return counted(p, "") + " in `" + name + "`"
	}
	return "not measured"
}

func refused(t *testing.T, s *service) string {
	client := &http.Client{Transport: s.transport(http.DefaultTransport)}
	const nobody = "http://127.0.0.1:1" // no program uses port 1
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, nobody, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(r); err == nil {
		t.Fatal("somebody answers at", nobody)
	}
	return s.outcome(t, "client")
}
