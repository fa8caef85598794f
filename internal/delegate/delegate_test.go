package delegate_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	lognoop "go.opentelemetry.io/otel/log/noop"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/otelmon/toolkit/internal/delegate"
	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/sampling"
)

func newSpans() (*tracetest.InMemoryExporter, *sdktrace.TracerProvider) {
	spans := tracetest.NewInMemoryExporter()
	return spans, sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
}

func names(spans *tracetest.InMemoryExporter) []string {
	var names []string
	for _, span := range spans.GetSpans() {
		names = append(names, span.InstrumentationScope.Name+" "+span.InstrumentationScope.Version+" "+span.Name)
	}
	return names
}

// end makes a span and reports whether it is recorded.
func end(tracer trace.Tracer, name string) bool {
	_, span := tracer.Start(context.Background(), name)
	defer span.End()
	return span.IsRecording()
}

func TestTracerFollowsSet(t *testing.T) {
	t.Parallel()
	provider := delegate.NewTracerProvider()
	tracer := provider.Tracer("shop", trace.WithInstrumentationVersion("1"))
	if end(tracer, "before") {
		t.Error("a span is recorded before Set")
	}

	firstSpans, first := newSpans()
	provider.Set(first)
	end(tracer, "first")
	end(provider.Tracer("late"), "first late")
	provider.Set(nil)
	if end(tracer, "between") {
		t.Error("a span is recorded after Set(nil)")
	}

	secondSpans, second := newSpans()
	provider.Set(second)
	end(tracer, "second")

	if diff := cmp.Diff([]string{"shop 1 first", "late  first late"}, names(firstSpans)); diff != "" {
		t.Errorf("spans of the first provider differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop 1 second"}, names(secondSpans)); diff != "" {
		t.Errorf("spans of the second provider differ (-want +got):\n%s", diff)
	}
}

// records is a log processor that keeps what it gets.
type records struct {
	mu     sync.Mutex
	scopes []string
}

func (*records) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (r *records) OnEmit(_ context.Context, record *sdklog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	scope := record.InstrumentationScope()
	r.scopes = append(r.scopes, scope.Name+" "+scope.Version+" "+record.Body().AsString())
	return nil
}

func (*records) Shutdown(context.Context) error   { return nil }
func (*records) ForceFlush(context.Context) error { return nil }

func newRecords() (*records, *sdklog.LoggerProvider) {
	r := &records{}
	return r, sdklog.NewLoggerProvider(sdklog.WithProcessor(r))
}

func emit(logger log.Logger, body string) {
	var record log.Record
	record.SetBody(attribute.StringValue(body))
	logger.Emit(context.Background(), record)
}

func TestLoggerFollowsSet(t *testing.T) {
	t.Parallel()
	enabled := func(l log.Logger) bool {
		return l.Enabled(t.Context(), log.EnabledParameters{Severity: log.SeverityInfo})
	}
	provider := delegate.NewLoggerProvider()
	logger := provider.Logger("shop", log.WithInstrumentationVersion("1"))
	emit(logger, "before")
	if enabled(logger) {
		t.Error("the logger is enabled before Set")
	}

	firstRecords, first := newRecords()
	provider.Set(first)
	emit(logger, "first")
	if !enabled(logger) {
		t.Error("the logger is not enabled after Set")
	}
	provider.Set(nil)
	emit(logger, "between")
	if enabled(logger) {
		t.Error("the logger is enabled after Set(nil)")
	}

	secondRecords, second := newRecords()
	provider.Set(second)
	emit(logger, "second")

	if diff := cmp.Diff([]string{"shop 1 first"}, firstRecords.scopes); diff != "" {
		t.Errorf("records of the first provider differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop 1 second"}, secondRecords.scopes); diff != "" {
		t.Errorf("records of the second provider differ (-want +got):\n%s", diff)
	}
}

// While providers are swapped each span and record goes to one of them.
func TestConcurrentSet(t *testing.T) {
	t.Parallel()
	const workers, each = 4, 200
	firstSpans, first := newSpans()
	secondSpans, second := newSpans()
	firstRecords, firstLogs := newRecords()
	secondRecords, secondLogs := newRecords()
	tracers, loggers := delegate.NewTracerProvider(), delegate.NewLoggerProvider()
	tracers.Set(first)
	loggers.Set(firstLogs)
	tracer, logger := tracers.Tracer("shop"), loggers.Logger("shop")

	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for range each {
				end(tracer, "work")
				emit(logger, "work")
			}
		})
	}
	running.Go(func() {
		for range each {
			tracers.Set(second)
			loggers.Set(secondLogs)
			tracers.Set(first)
			loggers.Set(firstLogs)
		}
	})
	running.Wait()
	if got := len(firstSpans.GetSpans()) + len(secondSpans.GetSpans()); got != workers*each {
		t.Errorf("got %d spans, want %d", got, workers*each)
	}
	if got := len(firstRecords.scopes) + len(secondRecords.scopes); got != workers*each {
		t.Errorf("got %d records, want %d", got, workers*each)
	}
}

func TestNoAllocationsAdded(t *testing.T) { // not parallel: it counts allocations
	tracers := map[string]trace.TracerProvider{
		"a span that is made":     sdktrace.NewTracerProvider(),
		"a span that is not made": tracenoop.NewTracerProvider(),
	}
	for name, direct := range tracers {
		t.Run(name, func(t *testing.T) {
			provider := delegate.NewTracerProvider()
			provider.Set(direct)
			count := func(tracer trace.Tracer) float64 {
				return testing.AllocsPerRun(100, func() { end(tracer, "work") })
			}
			if got, want := count(provider.Tracer("shop")), count(direct.Tracer("shop")); got != want {
				t.Errorf("got %v allocations, want %v", got, want)
			}
		})
	}
	loggers := map[string]log.LoggerProvider{
		"a record that is kept":    sdklog.NewLoggerProvider(),
		"a record that is dropped": lognoop.NewLoggerProvider(),
	}
	for name, direct := range loggers {
		t.Run(name, func(t *testing.T) {
			provider := delegate.NewLoggerProvider()
			provider.Set(direct)
			count := func(logger log.Logger) float64 {
				return testing.AllocsPerRun(100, func() { emit(logger, "work") })
			}
			if got, want := count(provider.Logger("shop")), count(direct.Logger("shop")); got != want {
				t.Errorf("got %v allocations, want %v", got, want)
			}
		})
	}
}

// The provider is a Decider exactly where its target is one.
func TestDecisionIsThatOfTheTarget(t *testing.T) {
	t.Parallel()
	limits := tracer.Limits{RescuesPerSecond: 1000, SlowerThan: time.Second}
	tests := map[string]struct {
		target                    trace.TracerProvider
		decides, byRoute, rescues bool
	}{
		"no target":                {nil, false, false, false},
		"a target of others":       {sdktrace.NewTracerProvider(), false, false, false},
		"otelmon's":                {tracer.New(sdktrace.AlwaysSample(), limits), true, false, true},
		"otelmon's, by route":      {tracer.New(sampling.Adaptive(1), limits), true, true, true},
		"otelmon's, never rescued": {tracer.New(sdktrace.AlwaysSample(), tracer.Limits{}), true, false, false},
	}
	provider := delegate.NewTracerProvider() // the same for all, so that each follows the last
	for name, tt := range tests {
		provider.Set(tt.target)
		decision, decides := provider.Decide(t.Context(), trace.SpanKindServer)
		if decides != tt.decides || decision.SpanContext.IsValid() != tt.decides {
			t.Errorf("%s: got %+v, %v", name, decision, decides)
		}
		if got := provider.NeedsRoute(); got != tt.byRoute {
			t.Errorf("%s: needs the route: %v", name, got)
		}
		if got := provider.Rescue(true, 0); got != tt.rescues {
			t.Errorf("%s: rescues: %v", name, got)
		}
	}
}
