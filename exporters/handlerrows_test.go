package exporters_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// hanging is a log handler that takes its time for each line.
type hanging struct {
	*lines
	take func()
}

func (h hanging) Handle(ctx context.Context, record slog.Record) error {
	h.take()
	return h.lines.Handle(ctx, record)
}

// Where the log goes may be as dead as the Collector: a full pipe, say.
func TestLogHandlerThatHangsStopsNothing(t *testing.T) {
	t.Parallel()
	handlers := map[string]func(free <-chan struct{}) func(){
		"for good":             func(free <-chan struct{}) func() { return func() { <-free } },
		"for most of a second": func(<-chan struct{}) func() { return func() { <-time.After(900 * time.Millisecond) } },
	}
	for name, hang := range handlers {
		for _, protocol := range []string{protocolGRPC, protocolHTTP} {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					free := make(chan struct{})
					collector := faultcollector.StartInMemory(t)
					s := start(t, exporters.OTLP{
						Endpoint: map[string]string{protocolGRPC: collector.GRPC, protocolHTTP: collector.HTTP}[protocol], Protocol: protocol,
						DisableMetrics: true, DisableLogs: true, Dial: collector.Dial, Logger: slog.New(hanging{newLines(), hang(free)}),
					})
					r := &rig{sender: s, collector: collector}
					collector.Refuse()
					r.spansFor(t, 100, 10*time.Second)
					collector.Heal()
					r.spansFor(t, 100, time.Second)
					r.deliverWithin(t, 10*time.Second)
					collector.Hang()
					r.span(t)
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					began := time.Now()
					err := s.shutdown(ctx)
					if took := time.Since(began); took > 3*time.Second || err == nil {
						t.Errorf("it took %v with error %v, want 2 s", took, err)
					}
					close(free)
				})
			})
		}
	}
}
