package doctor_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
)

func TestPageThatIsNone(t *testing.T) {
	t.Parallel()
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = io.WriteString(zip, "a 1\n")
		_ = zip.Flush() // and no end
	}
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    expected
		advice  string
	}{
		"a web page":    {servesText("text/html", "<!doctype html>"), expected{"format", doctor.Failure, "a web page"}, "http://localhost:9464/metrics"},
		"JSON":          {servesText("application/json", "{}"), expected{"format", doctor.Failure, "JSON"}, "metrics page"},
		"nothing":       {servesText("text/plain", ""), expected{"format", doctor.Failure, "nothing"}, "metrics page"},
		"protobuf":      {servesText("application/vnd.google.protobuf", "\x01"), expected{"format", doctor.Failure, "protobuf"}, "metrics page"},
		"broken gzip":   {broken, expected{"reachable", doctor.Failure, "unexpected EOF"}, "broke off"},
		"no permission": {servesStatus(http.StatusUnauthorized), expected{"reachable", doctor.Failure, "status 401"}, "Give the user and the password"},
		"another path":  {servesStatus(http.StatusNotFound), expected{"reachable", doctor.Failure, "status 404"}, "path"},
		"an error":      {servesStatus(http.StatusInternalServerError), expected{"reachable", doctor.Failure, "status 500"}, "log"},
		"another host":  {http.RedirectHandler(elsewhere.URL+"/metrics", http.StatusFound).ServeHTTP, expected{"reachable", doctor.Failure, "status 302"}, "leads to another host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.handler)
			defer server.Close()
			found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: server.URL})
			expect(t, found, tc.want)
			if len(found) != 1 || !strings.Contains(found[0].Advice, tc.advice) {
				t.Errorf("want one finding with the advice %q, got %+v", tc.advice, found)
			}
		})
	}
}

func servesText(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

func servesStatus(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// A page that is too large for the doctor is not too large for Prometheus: what is
// read of it tells what makes it so.
func TestPageThatIsTooLarge(t *testing.T) {
	t.Parallel()
	series := func(w http.ResponseWriter, n int) {
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
		for i := range n {
			if _, err := fmt.Fprintf(w, "big{user=\"u%d\",note=\"%0100d\"} 1\n", i, i%10); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "# EOF\n")
	}
	for name, n := range map[string]int{"by one series": 200_001, "by bytes": 350_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { series(w, n) }))
			defer server.Close()
			found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: server.URL})
			expect(t, found, expected{"page-size", doctor.Warning, "its first 200000 series are looked at"})
			expect(t, found, expected{"label-sets", doctor.Failure, "big 200000"})
		})
	}
	t.Run("not at all", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { series(w, 200_000) }))
		defer server.Close()
		expect(t, doctor.Metrics(t.Context(), doctor.Config{MetricsURL: server.URL}), expected{"reachable", doctor.OK, "200000 series"})
	})
}

func TestServerThatCannotBeReached(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(servesText("text/plain", "a 1\n"))
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(servesText("text/plain", "a 1\n"))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, tc := range map[string]struct{ url, advice string }{
		"nothing listens":            {gone.URL, "Nothing listens there"},
		"a certificate of nobody":    {secure.URL, "certificate authority"},
		"TLS where there is none":    {strings.Replace(plain.URL, "http:", "https:", 1), "Use http://"},
		"plaintext where TLS is due": {strings.Replace(secure.URL, "https:", "http:", 1), "use https://"},
		"no URL":                     {"localhost:1", "Give a URL such as"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := doctor.Metrics(t.Context(), doctor.Config{MetricsURL: tc.url})
			if len(found) != 1 || found[0].Level != doctor.Failure || !strings.Contains(found[0].Advice, tc.advice) {
				t.Errorf("want a failure with the advice %q, got %+v", tc.advice, found)
			}
		})
	}
}

func TestCredentialsThatAreNotAccepted(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(servesStatus(http.StatusUnauthorized))
	t.Cleanup(server.Close)
	url := strings.Replace(server.URL, "//", "//user:password@", 1)
	for part, found := range map[string][]doctor.Finding{
		"metrics":    doctor.Metrics(t.Context(), doctor.Config{MetricsURL: url}),
		"prometheus": doctor.Prometheus(t.Context(), doctor.Config{PrometheusURL: url}),
	} {
		if len(found) != 1 || !strings.Contains(found[0].Advice, "are not accepted") {
			t.Errorf("got %+v of %s", found, part)
		}
	}
}

func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	found := doctor.Metrics(ctx, doctor.Config{MetricsURL: server.URL})
	if len(found) != 1 || !strings.Contains(found[0].Advice, "in time") {
		t.Errorf("got %+v", found)
	}
}
