package exporters_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/exporters"
)

// Prometheus rejects a whole scrape for one histogram whose label le is there
// twice.
func TestAHistogramWithAnAttributeLEIsLeftOut(t *testing.T) {
	t.Parallel()
	server, err := exporters.Prometheus{DisableListener: true, Logger: slog.New(slog.DiscardHandler)}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(server.Reader))
	t.Cleanup(func() { _ = provider.Shutdown(context.WithoutCancel(t.Context())) })
	meter := provider.Meter("test")
	for name, attributes := range map[string][]attribute.KeyValue{
		"bad":   {attribute.String("le", "bon")},
		"mixed": {attribute.String("kind", "good")},
	} {
		h, err := meter.Float64Histogram(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Record(t.Context(), 1, metric.WithAttributes(attributes...))
		if name == "mixed" {
			h.Record(t.Context(), 1, metric.WithAttributes(attribute.String("le", "bon")))
		}
	}
	answer := httptest.NewRecorder()
	server.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	body := answer.Body.String()
	if answer.Code != http.StatusOK || strings.Contains(body, "bon") || strings.Contains(body, "bad") || !strings.Contains(body, `mixed_count{kind="good",`) {
		t.Errorf("got status %d and\n%s", answer.Code, body)
	}
}
