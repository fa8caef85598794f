package exporters

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/otlp"
	"github.com/otelmon/toolkit/internal/retryafter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// replyBytes is as much of an answer as is read. Its odd value tells gRPC's
// complaint about an answer from a peer's complaint about a request.
const replyBytes = 256<<10 + 1

// outcome is what became of a request: acknowledged, apart from the rejected
// items, unless there is a failure.
type outcome struct {
	rejected int64
	message  string // of the peer, about those it rejected
	failure  *failure
	date     time.Time // of the peer's clock, zero when it does not tell
}

// reason is the error.type of what was lost.
func (o outcome) reason() string {
	if o.failure != nil {
		return o.failure.reason
	}
	return telemetry.LostRejected
}

// lost returns how many of n items did not arrive, as far as is known.
func (o outcome) lost(n int64) int64 {
	if o.failure != nil {
		return n
	}
	return min(o.rejected, n)
}

func (o outcome) err() error {
	switch {
	case o.failure != nil:
		return o.failure.err
	case o.rejected > 0:
		return fmt.Errorf("%s: %s", telemetry.LostRejected, o.message)
	}
	return nil
}

// failure is an attempt without success.
type failure struct {
	reason string
	retry  bool          // another attempt makes sense
	after  time.Duration // how long the peer wants to be left alone
	err    error
}

// grpcFailure follows the OTLP specification, except that RESOURCE_EXHAUSTED is
// retried also when the peer does not say that it will recover: what it means
// most often is a limit of rate, and to wait for a quota costs nothing.
func grpcFailure(err error) *failure {
	s := status.Convert(err)
	f := &failure{reason: codeName(s.Code()), err: err}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		f.retry = true
	case codes.ResourceExhausted:
		message := s.Message()
		larger := strings.Contains(message, "larger than") || strings.Contains(message, "exceeds maximum")
		switch {
		case larger && strings.HasSuffix(strings.TrimSuffix(message, ")"), strconv.Itoa(replyBytes)):
			f.reason = telemetry.LostBadResponse
		case larger:
			f.reason = telemetry.LostTooLarge
		default:
			f.retry = true
		}
	default: // a refusal
	}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			f.after = info.GetRetryDelay().AsDuration()
		}
	}
	return f
}

// connectionFailure is one without an answer, whatever its reason: the peer may
// come up, its name may resolve, its certificate may be replaced.
func connectionFailure(err error) *failure {
	reason := codes.Unavailable
	if errors.Is(err, context.DeadlineExceeded) {
		reason = codes.DeadlineExceeded
	}
	return &failure{reason: codeName(reason), retry: true, err: err}
}

// codeName returns the name of one of gRPC's codes. A peer can send any number.
func codeName(c codes.Code) string {
	if c > codes.Unauthenticated {
		c = codes.Unknown
	}
	return code.Code(c).String()
}

// httpOutcome follows the OTLP specification.
func httpOutcome(response *http.Response) outcome {
	body, err := readReply(response.Body)
	code := response.StatusCode
	f := &failure{reason: strconv.Itoa(code)}
	switch {
	case code < 300 && errors.Is(err, errTooLong):
		return outcome{failure: &failure{reason: telemetry.LostBadResponse, err: err}}
	case code < 300 && err != nil: // it may come again
		return outcome{failure: connectionFailure(fmt.Errorf("reading the answer: %w", err))}
	case code < 300:
		return httpAnswered(response, body)
	case code < 400:
		f.err = fmt.Errorf("%s: redirects are not followed, since they would take credentials to another host: set the address that it leads to as the endpoint", response.Status)
		return outcome{failure: f}
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		f.retry = true
		f.after = retryafter.Wait(response.Header.Get("Retry-After"), time.Now())
	case code == http.StatusRequestEntityTooLarge:
		f.reason = telemetry.LostTooLarge
	case code >= 600:
		f.reason = telemetry.Other
	}
	f.err = errors.New(strings.TrimSpace(response.Status + " " + said(response, body)))
	return outcome{failure: f}
}

// httpAnswered tells a web server, which answers everything with a page, from a
// Collector. Some that take telemetry answer with nothing, or in JSON.
func httpAnswered(response *http.Response, body []byte) outcome {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
		return outcome{}
	case kind == contentType, err != nil:
		return answered(body)
	case kind == "application/json":
		var reply jsonReply
		empty := string(bytes.Join(bytes.Fields(body), nil)) == "{}"
		if json.Unmarshal(body, &reply) == nil && (empty || reply.PartialSuccess != nil) {
			return outcome{rejected: reply.rejected(), message: reply.message()}
		}
	}
	return outcome{failure: &failure{reason: telemetry.LostBadResponse, err: fmt.Errorf("%s with %d bytes of %q: is it an OTLP endpoint?", response.Status, len(body), kind)}}
}

// jsonReply is an Export*ServiceResponse in OTLP's JSON, where a number may be a
// text.
type jsonReply struct {
	PartialSuccess *struct {
		RejectedSpans, RejectedDataPoints, RejectedLogRecords json.Number
		ErrorMessage                                          string
	}
}

// rejected returns how many items were; a request has those of one signal.
func (r jsonReply) rejected() (most int64) {
	p := r.PartialSuccess
	if p == nil {
		return 0
	}
	for _, number := range []json.Number{p.RejectedSpans, p.RejectedDataPoints, p.RejectedLogRecords} {
		n, err := number.Int64()
		if err == nil {
			most = max(most, n)
		}
	}
	return most
}

func (r jsonReply) message() string {
	if r.PartialSuccess == nil {
		return ""
	}
	return r.PartialSuccess.ErrorMessage
}

// answered is the outcome of an answer in protobuf.
func answered(reply []byte) outcome {
	rejected, message, err := otlp.Rejected(reply)
	if err != nil {
		return outcome{failure: &failure{reason: telemetry.LostBadResponse, err: errors.New("the answer is no OTLP response: is it an OTLP endpoint?")}}
	}
	return outcome{rejected: rejected, message: message}
}

// said returns what an error response says, in whichever form.
func said(response *http.Response, body []byte) string {
	var message spb.Status
	if strings.HasPrefix(response.Header.Get("Content-Type"), contentType) && proto.Unmarshal(body, &message) == nil {
		return message.GetMessage()
	}
	return strings.TrimSpace(string(body))
}

var errTooLong = errors.New("the answer is too long")

// readReply reads an answer as far as it is of use.
func readReply(body io.Reader) ([]byte, error) {
	reply, err := io.ReadAll(io.LimitReader(body, replyBytes))
	if err == nil && len(reply) == replyBytes {
		return reply, errTooLong
	}
	return reply, err
}
