package faultcollector_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestReply(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply       faultcollector.Reply
		wantCode    codes.Code
		wantRetry   time.Duration
		wantStatus  int
		wantHeader  string
		wantMessage string
		wantGRPC    int // spans kept
		wantHTTP    int
	}{
		"the zero value acknowledges": {
			wantStatus: http.StatusOK, wantGRPC: 1, wantHTTP: 1,
		},
		"unavailable": {
			reply:    faultcollector.Reply{Code: codes.Unavailable, Message: "gone"},
			wantCode: codes.Unavailable, wantStatus: http.StatusServiceUnavailable, wantMessage: "gone",
		},
		"too much, with the time to wait": {
			reply:    faultcollector.Reply{Code: codes.ResourceExhausted, RetryAfter: 1500 * time.Millisecond},
			wantCode: codes.ResourceExhausted, wantRetry: 1500 * time.Millisecond, wantStatus: http.StatusTooManyRequests, wantHeader: "2",
		},
		"too much, without": {
			reply:    faultcollector.Reply{Code: codes.ResourceExhausted},
			wantCode: codes.ResourceExhausted, wantStatus: http.StatusTooManyRequests,
		},
		"unauthenticated": {
			reply:    faultcollector.Reply{Code: codes.Unauthenticated},
			wantCode: codes.Unauthenticated, wantStatus: http.StatusUnauthorized,
		},
		"permission denied": {
			reply:    faultcollector.Reply{Code: codes.PermissionDenied},
			wantCode: codes.PermissionDenied, wantStatus: http.StatusForbidden,
		},
		"invalid": {
			reply:    faultcollector.Reply{Code: codes.InvalidArgument},
			wantCode: codes.InvalidArgument, wantStatus: http.StatusBadRequest,
		},
		"not implemented": {
			reply:    faultcollector.Reply{Code: codes.Unimplemented},
			wantCode: codes.Unimplemented, wantStatus: http.StatusNotFound,
		},
		"an error inside": {
			reply:    faultcollector.Reply{Code: codes.Internal},
			wantCode: codes.Internal, wantStatus: http.StatusInternalServerError,
		},
		"a status of HTTP only": {
			reply:      faultcollector.Reply{Status: http.StatusBadGateway, Message: "behind"},
			wantStatus: http.StatusBadGateway, wantGRPC: 1, wantMessage: "behind",
		},
		"a status of HTTP with the time to wait": {
			reply:      faultcollector.Reply{Status: http.StatusTooManyRequests, RetryAfter: time.Minute},
			wantStatus: http.StatusTooManyRequests, wantHeader: "60", wantGRPC: 1,
		},
		"refused, although it was kept": {
			reply:    faultcollector.Reply{Code: codes.Unavailable, Keep: true},
			wantCode: codes.Unavailable, wantStatus: http.StatusServiceUnavailable, wantGRPC: 1, wantHTTP: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := faultcollector.Start(t)
			c.Answer(faultcollector.Always(test.reply))

			err := overGRPC(t, c)(within(t, time.Minute), 1)
			if got := status.Code(err); got != test.wantCode {
				t.Errorf("got error %v, want code %v", err, test.wantCode)
			}
			if got := retryInfo(err); got != test.wantRetry {
				t.Errorf("got retry info of %v, want %v", got, test.wantRetry)
			}
			if got := c.Received().Spans; got != test.wantGRPC {
				t.Errorf("got %d spans over gRPC, want %d", got, test.wantGRPC)
			}

			response, body, err := post(within(t, time.Minute), httpClient(t, c, nil), "http://"+c.HTTP+"/v1/traces", encode(t, spans(1)))
			if err != nil {
				t.Fatal(err)
			}
			if got := response.StatusCode; got != test.wantStatus {
				t.Errorf("got status %d, want %d", got, test.wantStatus)
			}
			if got := response.Header.Get("Retry-After"); got != test.wantHeader {
				t.Errorf("got Retry-After %q, want %q", got, test.wantHeader)
			}
			if !bytes.Contains(body, []byte(test.wantMessage)) {
				t.Errorf("got body %q, want it to say %q", body, test.wantMessage)
			}
			if got := c.Received().Spans - test.wantGRPC; got != test.wantHTTP {
				t.Errorf("got %d spans over HTTP, want %d", got, test.wantHTTP)
			}
		})
	}
}

func retryInfo(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestBody(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body []byte
		want codes.Code // over gRPC, where the client reads it
	}{
		"garbage":                            {bytes.Repeat([]byte{0xff}, 100), codes.Internal},
		"more than a client of gRPC accepts": {make([]byte, 5<<20), codes.ResourceExhausted},
		"nothing":                            {[]byte{}, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := faultcollector.Start(t)
			c.Answer(faultcollector.Always(faultcollector.Reply{Body: test.body}))
			if err := overGRPC(t, c)(within(t, time.Minute), 1); status.Code(err) != test.want {
				t.Errorf("got error %v, want code %v", err, test.want)
			}
			response, body, err := post(within(t, time.Minute), httpClient(t, c, nil), "http://"+c.HTTP+"/v1/traces", encode(t, spans(2)))
			if err != nil || response.StatusCode != http.StatusOK || !bytes.Equal(body, test.body) {
				t.Errorf("got error %v and %d bytes, want those of the reply", err, len(body))
			}
			if diff := cmp.Diff(times(1, 1), c.Received().SpanIDs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestsAreNumbered(t *testing.T) {
	t.Parallel()
	c := faultcollector.Start(t)
	var got []faultcollector.Request
	c.Answer(func(r faultcollector.Request) faultcollector.Reply {
		got = append(got, r)
		return faultcollector.Reply{}
	})
	ctx := within(t, time.Minute)
	for _, sender := range []client{overGRPC(t, c), overHTTP(t, c)} {
		if err := sender(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := sendLogs(ctx, t, c, "a"); err != nil {
		t.Fatal(err)
	}
	want := []faultcollector.Request{{"traces", 1, false}, {"traces", 2, true}, {"logs", 3, false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnswerMayHeal(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		c.Answer(func(r faultcollector.Request) faultcollector.Reply {
			if r.Number == 2 {
				c.Heal()
			}
			return faultcollector.Reply{Code: codes.Unavailable}
		})
		sender := connect()
		for id := range byte(3) {
			_ = sender(t.Context(), id+1) // what arrived tells
		}
		if diff := cmp.Diff(times(0, 0, 1), c.Received().SpanIDs()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSequence(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		refusal := faultcollector.Reply{Code: codes.Unavailable}
		c.Answer(faultcollector.Sequence(refusal, faultcollector.Reply{}, refusal))
		sender := connect()
		for id := range byte(5) {
			_ = sender(t.Context(), id+1) // what arrived tells
		}
		if diff := cmp.Diff(times(0, 1, 0, 1, 1), c.Received().SpanIDs()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFailing(t *testing.T) {
	t.Parallel()
	first, again, other := faultcollector.Failing(0.7, 1), faultcollector.Failing(0.7, 1), faultcollector.Failing(0.7, 2)
	refused, different := 0, 0
	for range 10_000 {
		a, b, c := first(faultcollector.Request{}), again(faultcollector.Request{}), other(faultcollector.Request{})
		if a.Code == codes.Unavailable {
			refused++
		}
		if a.Code != b.Code {
			t.Fatal("got another answer from the same seed")
		}
		if a.Code != c.Code {
			different++
		}
	}
	if refused < 6800 || refused > 7200 || different == 0 {
		t.Errorf("got %d of 10000 requests refused, want about 7000; %d answers differ with another seed", refused, different)
	}
}

// As the Collector's own test of retrying does: what was sent is what arrived.
func TestAllArrivesWhenRetried(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, c *faultcollector.Collector, connect func() client) {
		c.Answer(faultcollector.Failing(0.7, 1))
		sender, attempts := connect(), 0
		want := times()
		for id := byte(1); id <= 100; id++ {
			for err := context.Canceled; err != nil; attempts++ {
				err = sender(t.Context(), id)
			}
			want[[8]byte(spanID(id))] = 1
		}
		if diff := cmp.Diff(want, c.Received().SpanIDs()); diff != "" || attempts < 200 {
			t.Errorf("after %d attempts: %s", attempts, diff)
		}
	})
}
