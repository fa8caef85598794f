package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Not parallel: run sets the process's telemetry up, from variables.
func TestRunDelivers(t *testing.T) {
	tests := map[string]struct {
		fail, crash bool
		wantErr     string
		want        delivered
	}{
		"what a job did": {
			want: delivered{items: 42, spans: []string{"job STATUS_CODE_UNSET"}, logs: []string{"the job is done"}},
		},
		"what a job did that failed": {
			fail:    true,
			wantErr: "as asked for by -fail",
			want:    delivered{items: 42, spans: []string{"job STATUS_CODE_ERROR"}, logs: []string{"the job is done"}},
		},
		"what a job did that panicked": {
			crash:   true,
			wantErr: "panic: as asked for by -panic",
			want:    delivered{items: 42, spans: []string{"job STATUS_CODE_UNSET exception"}, logs: []string{"the job is done"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			collector := faultcollector.Start(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.GRPC)
			err := recovered(func() error { return run(t.Context(), test.fail, test.crash) })
			if (err != nil || test.wantErr != "") && fmt.Sprint(err) != test.wantErr {
				t.Errorf("got error %v, want %q", err, test.wantErr)
			}
			got := summary(collector.Received())
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(delivered{})); diff != "" {
				t.Errorf("delivered telemetry (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	collector := faultcollector.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+collector.GRPC)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, false, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	want := []string{"job STATUS_CODE_ERROR"}
	if diff := cmp.Diff(want, summary(collector.Received()).spans); diff != "" {
		t.Errorf("delivered spans (-want +got):\n%s", diff)
	}
}

func TestRunSucceedsWithoutCollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // nobody listens there
	if err := run(t.Context(), false, false); err != nil {
		t.Errorf("got error %v, want none", err)
	}
}

func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}

type delivered struct {
	items       int64
	spans, logs []string
}

func summary(got faultcollector.Received) (d delivered) {
	for _, request := range got.Traces {
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					d.spans = append(d.spans, describe(span))
				}
			}
		}
	}
	for _, request := range got.Metrics {
		for _, resource := range request.GetResourceMetrics() {
			for _, scope := range resource.GetScopeMetrics() {
				for _, metric := range scope.GetMetrics() {
					if metric.GetName() == "job.items" {
						d.items = metric.GetSum().GetDataPoints()[0].GetAsInt()
					}
				}
			}
		}
	}
	for _, request := range got.Logs {
		for _, resource := range request.GetResourceLogs() {
			for _, scope := range resource.GetScopeLogs() {
				for _, record := range scope.GetLogRecords() {
					if len(record.GetTraceId()) > 0 {
						d.logs = append(d.logs, record.GetBody().GetStringValue())
					}
				}
			}
		}
	}
	slices.Sort(d.spans)
	return d
}

func describe(span *v1.Span) string {
	text := span.GetName() + " " + span.GetStatus().GetCode().String()
	for _, event := range span.GetEvents() {
		text += " " + event.GetName()
	}
	return text
}
