package exporters_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// statusIdentity returns what does not add up in a Status.
func statusIdentity(all []exporters.PushStatus) error {
	for _, s := range all {
		if whole := s.Acknowledged + s.Queued + s.InFlight + sum(s.Lost); s.Accepted != whole {
			return fmt.Errorf("%s: accepted %d, but all outcomes are %d: %+v", s.Signal, s.Accepted, whole, s)
		}
		if s.Up && s.Since.IsZero() || s.Lost == nil || s.QueuedBytes > s.QueueBytes {
			return fmt.Errorf("%s: this cannot be: %+v", s.Signal, s)
		}
	}
	return nil
}

// status returns that of one signal.
func (r *rig) status(t *testing.T, signal string) exporters.PushStatus {
	t.Helper()
	all := r.Status()
	if err := statusIdentity(all); err != nil {
		t.Error(err)
	}
	at := slices.IndexFunc(all, func(s exporters.PushStatus) bool { return s.Signal == signal })
	if at < 0 {
		t.Fatalf("got %+v, want one of %s", all, signal)
	}
	return all[at]
}

func TestStatusOfAPipelineThatHasSentNothing(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{QueueBytes: 1 << 20}, func(t *testing.T, r *rig) {
		want := []exporters.PushStatus{
			{Signal: "traces", QueueItems: 65_536, QueueBytes: 1 << 19},
			{Signal: "metrics"},
			{Signal: "logs", QueueItems: 65_536, QueueBytes: 1 << 19},
		}
		for i := range want {
			want[i].Address, want[i].Lost, want[i].LastSuccess = r.Endpoint(), map[string]int64{}, time.Now()
			want[i].Protocol = map[string]string{r.collector.GRPC: protocolGRPC, r.collector.HTTP: protocolHTTP}[r.Endpoint()]
		}
		if diff := cmp.Diff(want, r.Status()); diff != "" {
			t.Errorf("differs (-want +got):\n%s", diff)
		}
	})
}

func TestStatusLeavesDisabledSignalsOut(t *testing.T) {
	t.Parallel()
	s := start(t, exporters.OTLP{Endpoint: absent(t), DisableMetrics: true, DisableTraces: true})
	if got := s.Status(); len(got) != 1 || got[0].Signal != "logs" {
		t.Errorf("got %+v, want that of logs", got)
	}
}

// Up changes with what the peer answers, and Since with it alone.
func TestStatusUpAndDown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		trouble   func(*faultcollector.Collector)
		wantUp    bool
		wantError string
	}{
		"the peer is gone":                     {func(c *faultcollector.Collector) { c.Refuse() }, false, "connection refused"},
		"the peer hangs":                       {func(c *faultcollector.Collector) { c.Hang() }, false, "deadline exceeded"},
		"the peer refuses everything":          {answering(faultcollector.Reply{Code: codes.Unauthenticated, Message: "who are you"}), false, "who are you"},
		"the peer is busy":                     {answering(faultcollector.Reply{Code: codes.Unavailable, Message: "busy"}), false, "busy"},
		"the peer takes a part":                {answering(faultcollector.Reply{Rejected: 1, Message: "one is bad"}), true, "rejected: one is bad"},
		"what the peer answers makes no sense": {answering(faultcollector.Reply{Body: []byte("\xff\xff")}), false, "is it an OTLP endpoint?"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				r.span(t)
				_ = r.flush(t.Context())
				up := r.status(t, "traces")
				if !up.Up || !up.Since.Equal(time.Now()) || up.LastError != "" || !up.LastSuccess.Equal(time.Now()) {
					t.Errorf("got %+v, want it up since now", up)
				}

				<-time.After(time.Minute)
				test.trouble(r.collector)
				r.spansFor(t, 10, time.Minute)
				trouble := r.status(t, "traces")
				if trouble.Up != test.wantUp || trouble.Up != trouble.Since.Equal(up.Since) {
					t.Errorf("got %+v, want up %v and since only when that changed", trouble, test.wantUp)
				}
				if !strings.Contains(trouble.LastError, test.wantError) || time.Since(trouble.LastErrorTime) > 20*time.Second {
					t.Errorf("got %+v, want a fresh error that says %q", trouble, test.wantError)
				}
				for _, other := range []string{"metrics", "logs"} {
					if got := r.status(t, other); !got.Since.IsZero() || got.LastError != "" {
						t.Errorf("got %+v, want nothing of the trouble of traces", got)
					}
				}

				r.collector.Heal()
				r.spansFor(t, 10, time.Minute)
				again := r.status(t, "traces")
				if !again.Up || again.Since.Before(trouble.Since) || time.Since(again.LastSuccess) > 2*time.Second {
					t.Errorf("got %+v, want it up again", again)
				}
				if again.LastError == "" || time.Since(again.LastErrorTime) < 40*time.Second {
					t.Errorf("got %+v, want the error that is over", again)
				}
				r.mayHaveMore = true
			})
		})
	}
}

func answering(reply faultcollector.Reply) func(*faultcollector.Collector) {
	return func(c *faultcollector.Collector) { c.Answer(faultcollector.Always(reply)) }
}

// What waits, is in flight and is lost adds up while a small queue overflows.
func TestStatusOfAQueueThatOverflows(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.collector.Refuse()
		r.spansFor(t, 50, 10*time.Second)
		got := r.status(t, "traces")
		want := exporters.PushStatus{Accepted: 500, Queued: 100, InFlight: 10, Lost: map[string]int64{"queue_full": 390}, QueueItems: 100}
		counts := cmpopts.IgnoreFields(exporters.PushStatus{}, "Signal", "Address", "Protocol", "Up", "Since", "LastError", "LastErrorTime", "LastSuccess", "QueueBytes", "QueuedBytes")
		if diff := cmp.Diff(want, got, counts); diff != "" || got.QueuedBytes == 0 {
			t.Errorf("got %d bytes queued; differs (-want +got):\n%s", got.QueuedBytes, diff)
		}
	})
}

// An export of metrics that is missed is no loss while the next has it again,
// and yet is told.
func TestStatusOfMissedMetrics(t *testing.T) { // not parallel: it sets a variable
	for _, temporality := range []string{"cumulative", "delta"} {
		t.Run(temporality, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				export := func() exporters.PushStatus {
					r.counter(t, "orders").Add(t.Context(), 1)
					r.counter(t, "refunds").Add(t.Context(), 1)
					_ = r.meter.ForceFlush(t.Context())
					return r.status(t, "metrics")
				}
				r.collector.Refuse()
				missed := export()
				if missed.Up || !strings.Contains(missed.LastError, "connection refused") {
					t.Errorf("got %+v, want it down for a reason", missed)
				}
				if lost := int64(2); temporality == "delta" && missed.Lost["expired"] != lost || temporality != "delta" && missed.Accepted != 0 {
					t.Errorf("got %+v, want %s metrics", missed, temporality)
				}
				r.collector.Heal()
				r.collector.Answer(faultcollector.Always(faultcollector.Reply{Rejected: 1, Message: "one is bad"}))
				part := export()
				if !part.Up || part.Acknowledged != 1 || part.LastError != "rejected: one is bad" {
					t.Errorf("got %+v, want a part taken", part)
				}
				r.collector.Answer(nil)
				if got := export(); got.Acknowledged != 3 || len(got.Lost) > 0 && temporality != "delta" {
					t.Errorf("got %+v, want three points taken in all", got)
				}
			})
		})
	}
}

// A point that is larger than a request may be never reaches an attempt.
func TestStatusOfAPointThatIsTooLarge(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
		r.counter(t, "orders").Add(t.Context(), 1, metric.WithAttributes(attribute.String("text", strings.Repeat("x", 4<<20))))
		_ = r.meter.ForceFlush(t.Context())
		if got := r.status(t, "metrics"); !got.Since.IsZero() || !strings.Contains(got.LastError, "bytes") {
			t.Errorf("got %+v, want an error before any attempt", got)
		}
	})
}

func TestStatusHasNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-value-of-some-length"
	overBoth(t, exporters.OTLP{Headers: map[string]string{"authorization": "Bearer " + secret}}, func(t *testing.T, r *rig) {
		for _, code := range []codes.Code{codes.Unauthenticated, codes.Unavailable, codes.OK} {
			message := strings.Repeat("-", 485) + "\n" + secret + " is unknown" + strings.Repeat("\xff", 1000)
			r.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: code, Rejected: 1, Message: strings.ToValidUTF8(message, "?")}))
			r.span(t)
			r.counter(t, "orders").Add(t.Context(), 1)
			_ = r.tracer.ForceFlush(t.Context())
			_ = r.meter.ForceFlush(t.Context())
			for _, signal := range []string{"traces", "metrics"} {
				got := r.status(t, signal).LastError
				if len(got) < 400 || len(got) > 600 || strings.Contains(got, secret[:5]) || strings.Contains(got, "\n") {
					t.Errorf("%s: got %q, want a line of some 500 bytes without the secret", signal, got)
				}
			}
		}
	})
}
