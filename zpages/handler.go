package zpages

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
)

// files are what the browser gets as it is. uPlot is its authors', see
// uplot.LICENSE.
//
//go:embed page
var files embed.FS

// headers let the page load what is beside it, and nothing else, and be framed or
// read by nobody.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Cache-Control":                "no-store",
}

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	content, err := fs.Sub(files, "page")
	if err != nil {
		return http.NotFoundHandler() // the folder is embedded
	}
	mux.Handle(path, http.StripPrefix(path, http.FileServerFS(content)))
	mux.HandleFunc(path+"data", p.data)
	mux.HandleFunc(path+"trace", p.trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "This page is only read.", http.StatusMethodNotAllowed)
			return
		}
		if problem, status := p.refusal(r); problem != "" {
			http.Error(w, problem, status)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

const (
	unguarded = "This page is not shown here, because other machines can reach it without a password.\n" +
		"Listen on localhost (OTEL_EXPORTER_PROMETHEUS_HOST), or set basic_auth_users in the file\n" +
		"that OTELMON_PROMETHEUS_WEB_CONFIG_FILE names, and start the service again."
	otherHost = "This page is not shown under a name that it does not know.\n" +
		"Use localhost, or the address of the machine."
)

// refusal returns why a request is not answered, "" if it is.
func (p *page) refusal(r *http.Request) (problem string, status int) {
	switch sdk := p.sdk.Load(); {
	case sdk == nil:
		return "Telemetry is not on yet.", http.StatusServiceUnavailable
	case p.hidden.Load():
		return unguarded, http.StatusForbidden
	default:
		return refusal(r, sdk.Status().Scrape)
	}
}

func refusal(r *http.Request, listener exporters.ScrapeStatus) (problem string, status int) {
	switch {
	case listener.Password: // which the listener has checked
	case listener.ClientCAs && r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
	case !listener.Local:
		return unguarded, http.StatusForbidden
	case !ownHost(r.Host):
		return otherHost, http.StatusForbidden
	}
	return "", http.StatusOK
}

// ownHost reports whether a Host header names this machine, by an address or as
// localhost. A page of somebody else's, whose name was made to lead here, would
// otherwise be allowed by the browser to read this one.
func ownHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil
}

func (p *page) data(w http.ResponseWriter, r *http.Request) {
	q, ok := query(r)
	if !ok {
		http.Error(w, "since is a number, window 60, 300 or 900.", http.StatusBadRequest)
		return
	}
	p.look(r.Context())
	write(w, p.view(time.Now(), q))
}

func query(r *http.Request) (q metrics.Query, ok bool) {
	q = metrics.Query{Window: 5 * time.Minute, Route: r.FormValue("route")}
	switch r.FormValue("window") {
	case "", "300":
	case "60":
		q.Window = time.Minute
	case "900":
		q.Window = 15 * time.Minute
	default:
		return q, false
	}
	since := r.FormValue("since")
	if since == "" {
		return q, true
	}
	var err error
	q.Since, err = strconv.ParseInt(since, 10, 64)
	return q, err == nil
}

func (p *page) trace(w http.ResponseWriter, r *http.Request) {
	trace, ok := p.spans.Trace(r.FormValue("id"), time.Now())
	if !ok {
		http.Error(w, "This trace is not here, or not any more.", http.StatusNotFound)
		return
	}
	write(w, trace)
}

func write(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "The answer cannot be written as JSON.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // fails only when the browser is gone
}
