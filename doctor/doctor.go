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

	page *pageOnce
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
	c.page = &pageOnce{}
	return c
}

// Run looks at everything that cfg names, side by side, and returns within
// cfg.Timeout, and soon after ctx ends, whatever servers send: findings say then
// what is not known. What it reads of servers, and makes of it, is bounded. It
// changes nothing, but that an empty export of each signal is sent to the OTLP
// endpoint. Messages have no control characters and no credentials of the
// environment or of cfg. Safe for concurrent use.
func Run(ctx context.Context, cfg Config) Report {
	mask := secretsOf(cfg)
	cfg = cfg.defaults()
	// The rest is for what was found to be put into words.
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout*9/10, fmt.Errorf("not finished within %v", cfg.Timeout))
	defer cancel()
	own := configured(ctx)
	if cfg.MetricsURL == "" {
		cfg.MetricsURL = own.ownPage(ctx)
	}
	report := Report{Findings: []Finding{}}
	for _, f := range look(ctx, cfg, parts(own, cfg)) {
		f.Message, f.Advice = oneLine(mask.Replace(f.Message)), oneLine(mask.Replace(f.Advice))
		report.Findings = append(report.Findings, f)
	}
	return report
}

// part is one thing to look at.
type part struct {
	name string
	look func(context.Context, Config) []Finding
}

// parts are those that cfg and the environment name.
func parts(own service, cfg Config) []part {
	all := []part{{partEnvironment, own.environment}, {partOTLP, own.endpoint}}
	if cfg.MetricsURL == "" {
		all = append(all, part{"metrics", own.noPage})
	}
	for _, p := range []struct {
		url string
		part
	}{
		{cfg.MetricsURL, part{"metrics", metrics}},
		{cfg.PrometheusURL, part{"prometheus", prometheus}},
		{cfg.TempoURL, part{"tempo", tempo}},
		{cfg.CollectorURL, part{"collector", collector}},
	} {
		if p.url != "" {
			all = append(all, p.part)
		}
	}
	return all
}

// look looks at parts side by side, until a little after ctx ends. What goes on
// then ends by itself, as all that it works on is bounded.
func look(ctx context.Context, cfg Config, parts []part) []Finding {
	late := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(cfg.Timeout/12, func() { close(late) })
	})()
	outcomes := make([]chan []Finding, len(parts))
	for i, p := range parts {
		outcomes[i] = make(chan []Finding, 1) // nobody may be there to take it
		go func() { outcomes[i] <- p.look(ctx, cfg) }()
	}
	var found []Finding
	for i, p := range parts {
		findings, ok := before(late, outcomes[i])
		if !ok {
			findings = []Finding{unfinished(p.name, "working on the answers", because(ctx, ctx.Err()))}
		}
		found = append(found, findings...)
	}
	return found
}

// before waits for findings until it is late.
func before(late <-chan struct{}, outcome <-chan []Finding) (findings []Finding, ok bool) {
	select {
	case findings = <-outcome:
		return findings, true
	case <-late:
	}
	select { // what came while others were waited for
	case findings = <-outcome:
		return findings, true
	default:
		return nil, false
	}
}

// unfinished tells of what had no time, or was interrupted.
func unfinished(part, doing string, why error) Finding {
	return Finding{
		part, "unfinished", Failure, fmt.Sprintf("%s: %v", doing, why),
		"Run it again, with --timeout 10s, which is the most.",
	}
}
