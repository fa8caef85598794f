package faultcollector

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Request is what an answer may depend on.
type Request struct {
	Signal string // traces, metrics or logs
	Number int    // 1 for the first that was answered since Start
	HTTP   bool   // or gRPC
}

// Reply says how a request is answered. At zero it is kept and acknowledged.
type Reply struct {
	// Code refuses the request, which is not kept. Over HTTP it becomes the
	// status that the Collector would send, unless Status is set.
	Code codes.Code
	// Status is that of HTTP, where the request is refused unless it is zero or
	// 2xx; gRPC does not look at it.
	Status int
	// Message goes with a refusal, or is the warning of an acknowledgement.
	Message string
	// RetryAfter goes with a refusal: as RetryInfo over gRPC, as Retry-After, in
	// whole seconds rounded up, over HTTP.
	RetryAfter time.Duration
	// Rejected refuses so many spans, data points or log records, the first of
	// the request, as a partial success. They are not kept.
	Rejected int64
	// Delay passes before the answer. A request whose client gives up meanwhile
	// is not kept.
	Delay time.Duration
	// Keep keeps the request before Delay, and although it is refused, as when
	// an answer gets lost.
	Keep bool
	// Body is sent instead of the message that belongs there. Over gRPC only
	// an acknowledgement has one.
	Body []byte
}

// Answer sets how requests are answered from now on; nil, as at the start,
// keeps and acknowledges them. It is called for each request, one at a time, and
// not for those that cannot be read or wait because of Hang. It must not block:
// Delay makes a request wait. It may call the methods of the Collector.
func (c *Collector) Answer(f func(Request) Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// Always answers every request alike.
func Always(reply Reply) func(Request) Reply {
	return func(Request) Reply { return reply }
}

// Sequence answers one request with each reply, and acknowledges those that
// follow.
func Sequence(replies ...Reply) func(Request) Reply {
	return func(Request) Reply {
		if len(replies) == 0 {
			return Reply{}
		}
		reply := replies[0]
		replies = replies[1:]
		return reply
	}
}

// Failing refuses a share of the requests, from 0 to 1, with Unavailable. Which
// ones depends on nothing but the seed and their order.
func Failing(share float64, seed uint64) func(Request) Reply {
	random := rand.New(rand.NewPCG(seed, seed))
	return func(Request) Reply {
		if random.Float64() < share {
			return Reply{Code: codes.Unavailable, Message: "unavailable for this one"}
		}
		return Reply{}
	}
}

// request is one that was read.
type request struct {
	signal, path string
	http         bool
	headers      map[string][]string
	message      proto.Message
}

// receive keeps a request or not and says how to answer, once that is due.
func (c *Collector) receive(ctx context.Context, r request) (Reply, error) {
	if err := c.waitForHeal(ctx); err != nil {
		return Reply{}, err
	}
	reply := c.reply(r)
	reject(r.message, reply.Rejected)
	if reply.Keep {
		c.keep(r)
	}
	if err := c.delay(ctx, reply.Delay); err != nil {
		return Reply{}, err
	}
	if !reply.Keep && !reply.refuses(r.http) {
		c.keep(r)
	}
	return reply, nil
}

func (c *Collector) reply(r request) Reply {
	c.answering.Lock()
	defer c.answering.Unlock()
	c.mu.Lock()
	c.requests++
	answer, number := c.answer, c.requests
	c.mu.Unlock()
	if answer == nil {
		return Reply{}
	}
	return answer(Request{Signal: r.signal, Number: number, HTTP: r.http})
}

func (c *Collector) waitForHeal(ctx context.Context) error {
	c.mu.Lock()
	hanging, healed := c.hanging, c.healed
	c.mu.Unlock()
	if !hanging {
		return nil
	}
	select {
	case <-healed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Collector) delay(ctx context.Context, delay time.Duration) error {
	if delay == 0 {
		return nil
	}
	c.mu.Lock()
	healed := c.healed
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-healed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (r Reply) refuses(overHTTP bool) bool {
	if overHTTP {
		return r.httpStatus()/100 != 2
	}
	return r.Code != codes.OK
}

// httpStatus translates as the Collector does.
func (r Reply) httpStatus() int {
	if r.Status != 0 {
		return r.Status
	}
	switch r.Code {
	case codes.OK:
		return http.StatusOK
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return http.StatusServiceUnavailable
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unimplemented:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

// err is a refusal over gRPC.
func (r Reply) err() error {
	s := status.New(r.Code, r.Message)
	if r.RetryAfter == 0 {
		return s.Err()
	}
	detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(r.RetryAfter)})
	if err != nil {
		return err
	}
	return detailed.Err()
}
