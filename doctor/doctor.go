// Package doctor finds out why telemetry is not seen, is seen twice or is
// wrong. It looks at the environment of the process that it runs in, at the
// OTLP endpoint that this leads to, and at what else it is told of: a metrics
// page, a Prometheus, a Tempo and a Collector. It is behind
// `otelmon doctor`.
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Config says what [Run] looks at. With the zero value that is the environment,
// the OTLP endpoint, and a metrics page that is served beside. Credentials in
// the URLs are used and never shown.
type Config struct {
	// MetricsURL is the metrics page of a service, such as
	// http://localhost:9464/metrics. Without a path /metrics is added. Default
	// the page of OTEL_EXPORTER_PROMETHEUS_HOST and _PORT if that is on this
	// machine and somebody listens there.
	MetricsURL string

	// PrometheusURL, TempoURL and CollectorURL are where the APIs of Prometheus
	// and of Tempo begin, and where the Collector has its own metrics, such as
	// http://localhost:8888/metrics. Default none, which are not looked at.
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
// cfg.Timeout, and soon after ctx ends: findings say then what is not known. It
// changes nothing, but that an empty export of each signal is sent to the OTLP
// endpoint. Messages have no control characters and no credentials of the
// environment or of cfg. Safe for concurrent use.
func Run(ctx context.Context, cfg Config) Report {
	mask := secretsOf(cfg)
	cfg = cfg.defaults()
	// The rest is for what was found to be put into words.
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout*19/20, fmt.Errorf("not finished within %v", cfg.Timeout))
	defer cancel()
	own := configured(ctx)
	checks := []func(context.Context, Config) []Finding{own.environment, own.endpoint}
	if cfg.MetricsURL == "" {
		cfg.MetricsURL = own.ownPage(ctx)
	}
	if cfg.MetricsURL == "" {
		checks = append(checks, noPage)
	}
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
	report := Report{Findings: []Finding{}}
	for _, findings := range found {
		for _, f := range findings {
			f.Message, f.Advice = oneLine(mask.Replace(f.Message)), oneLine(mask.Replace(f.Advice))
			report.Findings = append(report.Findings, f)
		}
	}
	return report
}
