// Package doctor finds out why telemetry is not seen, is seen twice or is
// wrong. It looks at the environment of the process that it runs in, at the
// OTLP endpoint that this leads to, and at what else it is told of: a metrics
// page, a Prometheus, a Tempo and a Collector. It is behind
// `otelmon doctor`.
package doctor

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Config says what [Run] looks at. With the zero value that is the environment
// and the OTLP endpoint. Credentials in the URLs are used and never shown.
type Config struct {
	// MetricsURL is the metrics page of a service, such as
	// http://localhost:9464/metrics. Without a path /metrics is added.
	MetricsURL string

	// PrometheusURL, TempoURL and CollectorURL are where the APIs of Prometheus
	// and of Tempo begin, and where the Collector has its own metrics, such as
	// http://localhost:8888/metrics.
	PrometheusURL, TempoURL, CollectorURL string

	// Service is the service.name to look for in Prometheus. Default the one on
	// the metrics page, then OTEL_SERVICE_NAME.
	Service string

	// Timeout bounds the whole of Run; what has no answer by then is a failure.
	// Default 10 s, which is also the most.
	Timeout time.Duration

	// Client makes the requests to the URLs. Default one of its own, which follows
	// the variables of proxies, and no redirect to another host.
	Client *http.Client
}

// maxTimeout is the longest that somebody waits for a diagnosis.
const maxTimeout = 10 * time.Second

func (c Config) defaults() Config {
	if c.Timeout <= 0 || c.Timeout > maxTimeout {
		c.Timeout = maxTimeout
	}
	if c.Client == nil {
		c.Client = newClient()
	}
	return c
}

// Run looks at everything that cfg names, side by side, and returns within
// cfg.Timeout, also when ctx ends. It changes nothing, but that an empty export
// of each signal is sent to the OTLP endpoint.
func Run(ctx context.Context, cfg Config) Report {
	cfg = cfg.defaults()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	checks := []func(context.Context, Config) []Finding{environment, endpoint}
	for _, c := range []struct {
		url   string
		check func(context.Context, Config) []Finding
	}{
		{cfg.MetricsURL, metrics}, {cfg.PrometheusURL, prometheus}, {cfg.TempoURL, tempo}, {cfg.CollectorURL, collector},
	} {
		if c.url != "" {
			checks = append(checks, c.check)
		}
	}
	found := make([][]Finding, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() { found[i] = check(ctx, cfg) })
	}
	running.Wait()
	var report Report
	for _, findings := range found {
		report.Findings = append(report.Findings, findings...)
	}
	return report
}
