package otelmon_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/otelmon"
)

// BenchmarkSetup is what the call costs a service at its start when there is no
// Collector.
func BenchmarkSetup(b *testing.B) {
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	for b.Loop() {
		sdk, err := otelmon.Setup(b.Context(), otelmon.Config{
			ServiceName:    "bench",
			Logger:         slog.New(slog.DiscardHandler),
			Prometheus:     exporters.Prometheus{Address: "127.0.0.1:0"},
			OTLP:           exporters.OTLP{Endpoint: absent},
			DisableGlobals: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = sdk.Shutdown(ended) // there is nobody to deliver to
		b.StartTimer()
	}
}
