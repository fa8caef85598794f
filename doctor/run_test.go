package doctor_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
)

func TestRunEndsWithItsContext(t *testing.T) {
	grpcTo(listener(t, "127.0.0.1:0", silence)).set(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	url := "http://" + nobody(t)
	report := doctor.Run(ctx, doctor.Config{MetricsURL: url, PrometheusURL: url, TempoURL: url, CollectorURL: url})
	for _, part := range []string{"otlp", "metrics", "prometheus", "tempo", "collector"} {
		found := of(report, part, "")
		if len(found) != 1 || found[0].Check != "unfinished" || !says(found[0].Message, "interrupted") {
			t.Errorf("got %+v of %s, want that it is not known", found, part)
		}
	}
}

func TestRunEndsInTime(t *testing.T) {
	grpcTo(listener(t, "127.0.0.1:0", silence)).with("OTEL_TRACES_EXPORTER", "otlp").set(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	report := doctor.Run(ctx, doctor.Config{})
	if unfinished := of(report, "otlp", "unfinished"); len(unfinished) != 1 || report.Level() != doctor.Failure {
		t.Errorf("got %+v, want what is not known", report.Findings)
	}
}

// stubborn does not end with a request's context.
type stubborn chan struct{}

func (s stubborn) RoundTrip(*http.Request) (*http.Response, error) {
	<-s
	return nil, io.ErrUnexpectedEOF
}

// Run waits for no part that goes on after the time is over.
func TestRunDoesNotWaitForAll(t *testing.T) {
	quiet().set(t)
	client := make(stubborn)
	defer close(client)
	report := doctor.Run(t.Context(), doctor.Config{
		MetricsURL: "http://metrics", PrometheusURL: "http://prometheus", TempoURL: "http://tempo", CollectorURL: "http://collector",
		Client: &http.Client{Transport: client}, Timeout: 100 * time.Millisecond,
	})
	for _, part := range []string{"metrics", "prometheus", "tempo", "collector"} {
		found := of(report, part, "")
		if len(found) != 1 || found[0].Check != "unfinished" || found[0].Level != doctor.Failure || !says(found[0].Message, "not finished within 100ms") {
			t.Errorf("got %+v of %s, want that it is not finished", found, part)
			continue
		}
		documented(t, found[0])
	}
	if len(of(report, "environment", "outcome")) != 1 {
		t.Errorf("got %+v, want also what is known", report.Findings)
	}
}
