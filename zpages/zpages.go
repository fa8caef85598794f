// Package zpages is a live page inside the service: what its metrics, traces and
// exporters tell now and told in the last 15 minutes. It needs nothing but a
// browser, and stands beside /metrics at /zpages/:
//
//	cfg := otelmon.Config{ServiceName: "shop"}
//	zpages.Install(&cfg)
//	sdk, err := otelmon.Setup(ctx, cfg)
//
// It replaces no Grafana: nothing is kept beyond 15 minutes or beyond the
// process, and there is one instance to be seen. docs/zpages.md says what it
// costs and shows.
package zpages

import (
	"cmp"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
)

// path is where the page is, with all that belongs to it below.
const path = "/zpages/"

// Install adds the page to cfg, before [otelmon.Setup] is called with it: a reader,
// a span processor, and handlers for /zpages/ and, unless cfg has one, for the
// root, which leads there. A cfg that has a page keeps it; nil is left alone.
//
// A page is of one SDK, as readers are: another Setup with the same cfg returns an
// error. Keep one without a page for each: cfg := base; zpages.Install(&cfg).
//
// The page shows traces, attributes and the configuration, secrets left out, and
// changes nothing. It is refused, and cfg.Logger is told so, where the metrics
// listener can be reached from other machines, unless the web configuration file
// (OTELMON_PROMETHEUS_WEB_CONFIG_FILE) asks for a password or for certificates of
// an authority that it names. Without a listener, Setup returns an error.
//
// Metrics are collected every 2 s while somebody looks at the page, else every
// 10 s; callbacks of observable instruments are called as often.
func Install(cfg *otelmon.Config) {
	if cfg == nil || cfg.Prometheus.Handlers[path] != nil {
		return
	}
	p := newPage(cmp.Or(cfg.Logger, slog.Default()))
	cfg.Readers = append(slices.Clip(cfg.Readers), p.reader)
	cfg.SpanProcessors = append(slices.Clip(cfg.SpanProcessors), p.spans)
	cfg.OnStart = append(slices.Clip(cfg.OnStart), p.start)

	handlers := maps.Clone(cfg.Prometheus.Handlers)
	if handlers == nil {
		handlers = make(map[string]http.Handler)
	}
	handlers[path] = p.handler()
	if handlers["/{$}"] == nil && handlers["/"] == nil {
		handlers["/{$}"] = http.HandlerFunc(lead)
	}
	cfg.Prometheus.Handlers = handlers
}

// lead leads to the page, also where a proxy shows the listener below a path.
func lead(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", strings.TrimPrefix(path, "/"))
	w.WriteHeader(http.StatusFound)
}

// URL returns the address of the page of an SDK that was set up with one, "" when
// there is no listener or the page is refused there.
func URL(sdk *otelmon.SDK) string {
	base, served := strings.CutSuffix(sdk.MetricsURL(), "/metrics")
	if !served || !guarded(sdk.Status().Scrape) {
		return ""
	}
	return base + path
}

// guarded reports whether not just anybody reaches the listener.
func guarded(listener exporters.ScrapeStatus) bool {
	return listener.Local || listener.Password || listener.ClientCAs
}
