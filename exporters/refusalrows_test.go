package exporters_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// answering lets f answer, and records when requests of traces came.
func (r *rig) answering(f func(faultcollector.Request) faultcollector.Reply) (times *[]time.Time) {
	times = new([]time.Time)
	r.collector.Answer(func(request faultcollector.Request) faultcollector.Reply {
		if request.Signal == "traces" {
			*times = append(*times, time.Now())
		}
		return f(request)
	})
	return times
}

// A limit of rate says when to come back, or says nothing.
func TestLimitOfRateIsHonoured(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reply       faultcollector.Reply
		least, most time.Duration // between the two attempts
	}{
		"with a time to wait":    {faultcollector.Reply{Code: codes.ResourceExhausted, RetryAfter: 20 * time.Second}, 16 * time.Second, 24 * time.Second},
		"without a time to wait": {faultcollector.Reply{Code: codes.ResourceExhausted}, 800 * time.Millisecond, 1200 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{DisableLogs: true}, func(t *testing.T, r *rig) {
				times := r.answering(faultcollector.Sequence(test.reply))
				r.span(t)
				r.deliverWithin(t, time.Minute)
				if got := (*times)[1].Sub((*times)[0]); len(*times) != 2 || got < test.least || got > test.most {
					t.Errorf("got attempts at %v, want a second one after %v to %v", *times, test.least, test.most)
				}
			})
		})
	}
}

// What asks for more than the retry window ends with it.
func TestWaitOfAYearEndsWithTheWindow(t *testing.T) {
	t.Parallel()
	overBoth(t, exporters.OTLP{RetryWindow: time.Minute}, func(t *testing.T, r *rig) {
		r.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: codes.ResourceExhausted, RetryAfter: 365 * 24 * time.Hour}))
		r.span(t)
		r.record(t)
		began := time.Now()
		if err := r.flush(t.Context()); err == nil {
			t.Error("got no error")
		}
		if got := time.Since(began); got < time.Minute || got > 62*time.Second {
			t.Errorf("got the end after %v, want the retry window", got)
		}
		r.checkLost(t, map[string]int64{"expired": 1}, nil)
	})
}

// Whatever is refused for good makes few lines, and each span is counted. As
// many requests are refused as those of 10,000 spans a second in full batches.
func TestManyRefusals(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
	refusals(t, 200)
}

// refusals are those of some spans a second for three minutes.
func refusals(t *testing.T, perSecond int) {
	t.Helper()
	const minutes = 3
	for protocol, reason := range map[string]string{protocolGRPC: "UNAUTHENTICATED", protocolHTTP: "401"} {
		overOne(t, protocol, exporters.OTLP{DisableLogs: true}, func(t *testing.T, r *rig) {
			times := r.answering(faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated, Message: "who are you?"}))
			r.spansFor(t, perSecond, minutes*time.Minute)
			_ = r.flush(t.Context()) // refused, too
			if got := r.log.with(""); len(got) > 6*minutes || len(got) == 0 || len(*times) < minutes*60*19 {
				t.Errorf("got %d requests, and lines %q; want some, but no more than 6 a minute", len(*times), got)
			}
			r.checkLines(t, map[string]int{"recovered": 0, "who are you?": len(r.log.with(""))})
			if got := r.accounts(t)["traces"]; got.failed[reason] != int64(perSecond*60*minutes) || got.lost() != got.accepted {
				t.Errorf("got %+v, want all of them refused with %s", got, reason)
			}
		})
	}
}

// Refusals that come seldom are not an end of the trouble, nor is it when
// another signal is welcome.
func TestRefusalIsNoRecovery(t *testing.T) {
	t.Parallel()
	for name, welcome := range map[string]bool{"all signals are refused": false, "traces are taken": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				r.collector.Answer(func(request faultcollector.Request) faultcollector.Reply {
					if welcome && request.Signal == "traces" {
						return faultcollector.Reply{}
					}
					return faultcollector.Reply{Code: codes.PermissionDenied}
				})
				for range 20 {
					r.span(t)
					r.record(t)
					_ = r.flush(t.Context())
					<-time.After(30 * time.Second)
				}
				r.checkLines(t, map[string]int{"recovered": 0, "loss of telemetry started endpoint=" + r.Endpoint() + " signal=logs": 1})
				r.collector.Heal()
				r.span(t)
				r.record(t)
				_ = r.flush(t.Context())
				<-time.After(30 * time.Second)
				r.span(t)
				_ = r.flush(t.Context())
				r.checkLines(t, map[string]int{"recovered": 1})
			})
		})
	}
}

func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reply   faultcollector.Reply
		want    map[string]int64 // of 10
		arrived int
	}{
		"some are rejected":             {faultcollector.Reply{Rejected: 3, Message: "too old"}, map[string]int64{"rejected": 3}, 7},
		"none, with a warning":          {faultcollector.Reply{Message: "deprecated"}, nil, 10},
		"more than were sent":           {faultcollector.Reply{Rejected: 1 << 40}, map[string]int64{"rejected": 10}, 0},
		"less than none, in raw fields": {faultcollector.Reply{Body: []byte("\x0a\x0b\x08\xfd\xff\xff\xff\xff\xff\xff\xff\xff\x01")}, nil, 10},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				times := r.answering(faultcollector.Always(test.reply))
				for range 10 {
					r.span(t)
					r.record(t)
				}
				_ = r.flush(t.Context())
				r.checkLost(t, test.want, nil)
				if got := len(r.spans) - len(r.missingSpans()); got != test.arrived || len(*times) != 1 {
					t.Errorf("got %d spans and %d requests, want %d and one", got, len(*times), test.arrived)
				}
			})
		})
	}
}

// The peer refuses a request and repeats what it was sent.
func TestPeerThatRepeatsSecrets(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-value-of-some-length"
	for name, before := range map[string]int{"at the beginning": 0, "where a line is cut short": 485, "beyond": 2000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{Headers: map[string]string{"authorization": "Bearer " + secret}}, func(t *testing.T, r *rig) {
				message := strings.Repeat("-", before) + "authorization: Bearer " + secret + " is unknown"
				for _, reply := range []faultcollector.Reply{
					{Code: codes.Unauthenticated, Message: message},
					{Rejected: 1, Message: message},
				} {
					r.collector.Answer(faultcollector.Always(reply))
					r.span(t)
					r.record(t)
					err := r.flush(t.Context())
					if err == nil {
						t.Error("got no error")
					}
					r.checkNoSecret(t, secret[:5], err)
				}
				r.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: codes.Unavailable, Message: message}))
				r.span(t)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				err := r.shutdown(ctx)
				r.checkNoSecret(t, secret[:5], err)
				if err == nil || len(r.log.with("cannot deliver")) != 1 {
					t.Errorf("got error %v and lines %q, want an outage in both", err, r.log.with(""))
				}
			})
		})
	}
}

// What is answered makes no sense; a second attempt would not either.
func TestAnswersWithoutSense(t *testing.T) {
	t.Parallel()
	huge := make([]byte, 8<<20)
	tests := map[string]faultcollector.Reply{
		"huge":                        {Body: huge},
		"garbage":                     {Body: []byte("\xff\xff\xff\xff")},
		"a partial success cut short": {Body: []byte("\x0a\x7f\x08\x01")},
	}
	for name, reply := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, exporters.OTLP{}, func(t *testing.T, r *rig) {
				times := r.answering(faultcollector.Always(reply))
				r.span(t)
				r.record(t)
				_ = r.flush(t.Context())
				found := r.accounts(t)
				for _, signal := range []string{"traces", "logs"} {
					if a := found[signal]; a.failed["invalid_response"] != 1 || a.lost() != 1 {
						t.Errorf("%s: got %+v, want one invalid_response", signal, a)
					}
				}
				if len(*times) != 1 {
					t.Errorf("got %d requests, want one", len(*times))
				}
				r.mayHaveMore = true
			})
		})
	}
}
