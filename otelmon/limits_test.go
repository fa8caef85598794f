package otelmon_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/sampling"
)

// handle sends requests through the middleware to a handler that answers with
// the status, and returns how many left a span.
func handle(t *testing.T, s *service, requests, status int, traceparent string) int {
	t.Helper()
	handler := middleware.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }),
		middleware.Config{TracerProvider: s.TracerProvider(), MeterProvider: s.MeterProvider(), Propagator: propagation.TraceContext{}})
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Traceparent", traceparent)
	for range requests {
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	return served(t, s)
}

// served returns how many spans of requests arrive.
func served(t *testing.T, s *service) (n int) {
	t.Helper()
	for _, span := range spansOf(s.deliver(t)) {
		if span.GetKind() == traces.Span_SPAN_KIND_SERVER {
			n++
		}
	}
	return n
}

const (
	sampledParent   = "00-ffffffffffffffffffffffffffffffff-0000000000000001-01" // whose ID no ratio below 1 keeps
	unsampledParent = "00-ffffffffffffffffffffffffffffffff-0000000000000001-00"
)

// tenth is a sampler that follows its parent, and keeps few of the rest.
func tenth() sdktrace.Sampler { return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.1)) }

func limitVariableRows() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"OTELMON_RESCUES_PER_SECOND": func(t *testing.T) {
			s := with(t, map[string]string{"OTELMON_RESCUES_PER_SECOND": "0"})
			if got := handle(t, s, 5, http.StatusInternalServerError, unsampledParent); got != 0 {
				t.Errorf("got %d spans of unsampled failures, want none", got)
			}
		},
		"OTELMON_RESCUE_SLOWER_THAN": func(t *testing.T) {
			s := with(t, map[string]string{"OTELMON_RESCUE_SLOWER_THAN": "1"})
			handler := middleware.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-time.After(2 * time.Millisecond) }),
				middleware.Config{TracerProvider: s.TracerProvider(), MeterProvider: s.MeterProvider(), Propagator: propagation.TraceContext{}})
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Traceparent", unsampledParent)
			handler.ServeHTTP(httptest.NewRecorder(), r)
			if got := served(t, s); got != 1 {
				t.Errorf("got %d spans of a slow unsampled request, want 1", got)
			}
		},
		"OTELMON_FORCED_PER_SECOND": func(t *testing.T) {
			s := with(t, map[string]string{
				"OTELMON_FORCED_PER_SECOND": "0",
				"OTEL_TRACES_SAMPLER":       "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1",
			})
			if got := handle(t, s, 5, http.StatusOK, sampledParent); got != 0 {
				t.Errorf("got %d spans that only the caller wanted, want none", got)
			}
		},
	}
}

func TestLimitsOfSampling(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg         otelmon.Config
		requests    int
		status      int
		traceparent string
		least, most int // spans; the bound refills while the test runs
	}{
		"failures are rescued by default": {
			otelmon.Config{Sampler: tenth()}, 5, 500, unsampledParent, 5, 5,
		},
		"successes that are not slow are not": {
			otelmon.Config{Sampler: tenth()}, 5, 200, unsampledParent, 0, 0,
		},
		"rescues are bounded": {
			otelmon.Config{Sampler: tenth(), Rescue: sampling.Rescue{PerSecond: 0.001}}, 50, 500, unsampledParent, 1, 1,
		},
		"rescues can be switched off": {
			otelmon.Config{Sampler: tenth(), Rescue: sampling.Rescue{Disable: true}}, 5, 500, unsampledParent, 0, 0,
		},
		"what always_off dropped is not rescued": {
			otelmon.Config{Sampler: sdktrace.ParentBased(sdktrace.NeverSample())}, 5, 500, unsampledParent, 0, 0,
		},
		"what a rule dropped is not rescued": {
			otelmon.Config{Sampler: sampling.Rules(sampling.Drop())}, 5, 500, "", 0, 0,
		},
		"callers force 100 a second by default": {
			otelmon.Config{Sampler: tenth()}, 2000, 200, sampledParent, 100, 1000,
		},
		"callers force as many as they may": {
			otelmon.Config{Sampler: tenth(), ForcedPerSecond: 0.001}, 50, 200, sampledParent, 1, 1,
		},
		"without a bound callers force all": {
			otelmon.Config{Sampler: tenth(), ForcedPerSecond: -1}, 500, 200, sampledParent, 500, 500,
		},
		"what the service would keep by itself is kept above the bound": {
			otelmon.Config{ForcedPerSecond: 0.001}, 50, 200, sampledParent, 50, 50,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := handle(t, setUp(t, tt.cfg), tt.requests, tt.status, tt.traceparent); got < tt.least || got > tt.most {
				t.Errorf("got %d spans, want %d to %d", got, tt.least, tt.most)
			}
		})
	}
}

func TestLimitsThatCannotBeObeyed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg  otelmon.Config
		want string
	}{
		"a negative duration":            {otelmon.Config{Rescue: sampling.Rescue{SlowerThan: -1}}, "Config.Rescue.SlowerThan=-1ns"},
		"a negative number of rescues":   {otelmon.Config{Rescue: sampling.Rescue{PerSecond: -1}}, "Config.Rescue.PerSecond=-1"},
		"a number of rescues is none":    {otelmon.Config{Rescue: sampling.Rescue{PerSecond: math.NaN()}}, "Config.Rescue.PerSecond=NaN"},
		"a number of forced ones is not": {otelmon.Config{ForcedPerSecond: math.NaN()}, "Config.ForcedPerSecond=NaN"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.DisableGlobals, tt.cfg.DisableOTLP, tt.cfg.DisablePrometheus = true, true, true
			tt.cfg.Logger = newLines().logger()
			s := &service{}
			s.SDK, s.setupErr = otelmon.Setup(t.Context(), tt.cfg)
			t.Cleanup(func() { s.shutdown(t) })
			wantError(t, s.setupErr, tt.want)
			if got := s.SDK; got == nil {
				t.Error("got no SDK")
			}
		})
	}
}
