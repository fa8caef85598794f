package meter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// counting is a log handler that counts its lines by message, in instruments that it makes when it needs them.
type counting struct {
	slog.Handler
	provider metric.MeterProvider
}

func (h counting) Handle(ctx context.Context, record slog.Record) error {
	c, err := h.provider.Meter("log").Int64Counter("log." + strings.Fields(record.Message)[1])
	c.Add(ctx, 1)
	return errors.Join(err, h.Handler.Handle(ctx, record))
}

func TestALogHandlerMayMakeInstruments(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	log := newLines()
	rules := meter.Rules{Logger: slog.New(counting{log.logger().Handler(), p})}
	reader := sdkmetric.NewManualReader()
	_, err := p.Meter("m").Int64Counter("1 invalid")
	check(t, err)
	finishes(t, "Set with an invalid instrument", func() { p.Set(newSDK(t, meter.Rules{}, reader), rules) })
	finishes(t, "a conflict", func() {
		for _, unit := range []string{"", "By"} {
			_, err := p.Meter("m").Int64Counter("c", metric.WithUnit(unit))
			check(t, err)
		}
	})
	_, err = p.Meter("m").Int64ObservableGauge("g", metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error {
		return errors.New("failed")
	}))
	check(t, err)
	finishes(t, "a failing callback", func() { sums(t, reader) })
	log.wait(t, 1, "metric callback failed")
	want := map[string]string{"log.instrument": "2", "log.callback": "1", telemetry.CallbackFailures: "2"}
	if diff := cmp.Diff(want, sums(t, reader)); diff != "" {
		t.Errorf("lines by message (-want +got):\n%s", diff)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	t.Parallel()
	p := meter.NewProvider()
	log := newLines()
	for range 2 {
		p.Set(newSDK(t, meter.Rules{}), meter.Rules{Logger: log.logger()})
		for i := range 100 {
			name := fmt.Sprint("name", i)
			_, err := p.Meter("m").Int64Counter(name)
			check(t, err)
			_, err = p.Meter("m").Float64Counter(name)
			check(t, err)
		}
	}
	if got := strings.Count(log.String(), "\n"); got != 40 {
		t.Errorf("got %d lines of 2 Sets, want 20 of each", got)
	}
	if got := strings.Count(log.String(), `further="not logged"`); got != 2 {
		t.Errorf("got %d last lines, want 2:\n%s", got, log)
	}
}

func TestConflictsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	conflicts := map[string]func(metric.Meter) error{
		"another kind":        func(m metric.Meter) error { _, err := m.Int64UpDownCounter("name"); return err },
		"another unit":        func(m metric.Meter) error { _, err := m.Int64Counter("name", metric.WithUnit("By")); return err },
		"another number type": func(m metric.Meter) error { _, err := m.Float64Counter("NAME"); return err },
	}
	for name, conflict := range conflicts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			rules := meter.Rules{Logger: slog.New(slog.NewTextHandler(&log, nil))}
			p := meter.NewProvider()
			p.Set(newSDK(t, meter.Rules{}, sdkmetric.NewManualReader()), rules)
			_, err := p.Meter("first scope").Int64Counter("name")
			check(t, err)
			for range 2 {
				check(t, conflict(p.Meter("second scope")))
				check(t, conflict(p.Meter("third scope")))
			}
			if got := strings.Count(log.String(), "\n"); got != 1 {
				t.Errorf("got %d lines, want 1:\n%s", got, log.String())
			}
			for _, want := range []string{"first scope", "second scope", "instrument=name"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("got no %q in: %s", want, log.String())
				}
			}
		})
	}
}

func TestInvalidNamesAreReportedAndUsable(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := meter.NewProvider()
	early, err := p.Meter("m").Int64Counter("1 early")
	check(t, err) // nobody to refuse it yet
	reader := sdkmetric.NewManualReader()
	p.Set(newSDK(t, meter.Rules{}, reader), meter.Rules{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "1 early") {
		t.Errorf("got %q in the log, want the invalid name", log.String())
	}
	for range 2 {
		late, err := p.Meter("m").Int64Counter("2 late")
		if err == nil {
			t.Error("got no error for an invalid name")
		}
		late.Add(t.Context(), 1)
	}
	early.Add(t.Context(), 1)
	if diff := cmp.Diff(map[string]string{"1 early": "1", "2 late": "2"}, sums(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
