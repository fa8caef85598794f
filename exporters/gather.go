package exporters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// gather leaves out what Prometheus would reject a whole scrape for. The error
// says what the registry left out; the families are good all the same.
func (s *PrometheusServer) gather() ([]*dto.MetricFamily, error) {
	families, err := s.registry.Gather()
	if err != nil {
		s.failures.gathering(err)
	}
	for _, family := range families {
		if help := family.GetHelp(); !utf8.ValidString(help) {
			family.Help = new(strings.ToValidUTF8(help, "\uFFFD"))
		}
		if family.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		kept := slices.DeleteFunc(family.Metric, hasLE)
		if bad := len(family.Metric) - len(kept); bad > 0 {
			s.failures.leftOut(bad, fmt.Errorf("histogram %s has an attribute le, which is the name of its boundaries", family.GetName()))
		}
		family.Metric = kept
	}
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 }), err
}

// hasLE finds a label that a parser cannot tell from a boundary.
func hasLE(m *dto.Metric) bool {
	return slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == "le" })
}

// failures counts what scrapes could not show and logs it.
type failures struct {
	log                              *diag.Log
	invalid, panics, timeouts, slows atomic.Int64
}

// gathering takes an error of the registry apart, which has one of each series
// that it left out, and text that grows with them.
func (f *failures) gathering(err error) {
	errs := prometheus.MultiError{err}
	_ = errors.As(err, &errs) // a single error comes as itself
	var panicked error
	bad := slices.DeleteFunc(slices.Clone(errs), func(err error) bool {
		// The registry has no type for it, and says it twice.
		if strings.HasPrefix(err.Error(), "prometheus collector panic recovered") {
			panicked = err
		}
		return panicked != nil && err.Error() == panicked.Error()
	})
	if panicked != nil {
		f.panicked(panicked)
	}
	if len(bad) > 0 {
		f.leftOut(len(bad), bad[0])
	}
}

// leftOut takes the number of series and the reason of one of them.
func (f *failures) leftOut(series int, err error) {
	f.invalid.Add(int64(series))
	f.log.Error("collect", "some metrics were left out of a scrape", "series", series, "error", err)
}

func (f *failures) panicked(err error) {
	f.panics.Add(1)
	f.log.Error("panic", "collecting metrics panicked", "error", err)
}

func (f *failures) timedOut() {
	f.timeouts.Add(1)
	f.log.Error("timeout", "scrapes were not answered, because collecting metrics hangs", "waited", pageTimeout)
}

func (f *failures) slowReader() {
	f.slows.Add(1)
	f.log.Warn("slow", "scrapers that read too slowly were cut off", "limit", readTimeout)
}

// Observe has the provider count what scrapes could not show, as
// otelmon.scrape.failures by error.type: invalid_metric is a series that was
// left out, each time it was; panic, timeout and slow_reader are what kept a page
// from being collected, from coming in time and from being read. It observes for as
// long as the provider lives, and is to be called once; a provider that the
// Reader belongs to shows the counts on the page itself.
func (s *PrometheusServer) Observe(provider metric.MeterProvider) error {
	meter := telemetry.Meter(provider, "exporters")
	_, err := meter.Int64ObservableCounter(telemetry.ScrapeFailures,
		metric.WithUnit("{failure}"),
		metric.WithDescription("What scrapes of the metrics page could not show, by reason."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for errorType, count := range map[string]*atomic.Int64{
				telemetry.ScrapeInvalidMetric: &s.failures.invalid,
				telemetry.ErrorPanic:          &s.failures.panics,
				telemetry.ErrorTimeout:        &s.failures.timeouts,
				telemetry.ScrapeSlowReader:    &s.failures.slows,
			} {
				o.Observe(count.Load(), metric.WithAttributes(telemetry.ErrorType.String(errorType)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("registering %s: %w", telemetry.ScrapeFailures, err)
	}
	return nil
}
