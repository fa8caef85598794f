package middleware

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Numbers of Windows, whose package syscall has others under these names. No
// other system has numbers that high.
const (
	wsaConnectionAborted = syscall.Errno(10053)
	wsaConnectionReset   = syscall.Errno(10054)
	wsaConnectionRefused = syscall.Errno(10061)
)

// failure is an error as telemetry tells it: in few types, and without what
// the text of any error may quote, such as a URL with its query.
type failure struct {
	errorType string
	err       error
}

// newFailure returns that of an error of a request with the context ctx.
func newFailure(ctx context.Context, err error) failure {
	errorType := errorTypeOf(err)
	if errorType == telemetry.Other && ctx.Err() != nil && err != errAbandoned { //nolint:errorlint // never wrapped
		errorType = errorTypeOf(ctx.Err()) // err is the cause given to the context
	}
	return failure{errorType: errorType, err: err}
}

// ErrorType is where otelhttp gets the value of error.type.
func (f failure) ErrorType() string { return f.errorType }

// Error is where otelhttp gets the status of the span.
func (f failure) Error() string {
	if e, ok := errors.AsType[*net.DNSError](f.err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*net.OpError](f.err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](f.err); ok {
		return e.Error()
	}
	switch {
	case f.errorType != telemetry.Other:
		return f.errorType
	case f.err == errAbandoned: //nolint:errorlint // never wrapped
		return f.err.Error()
	}
	inner := f.err
	for next := inner; next != nil; next = errors.Unwrap(next) {
		inner = next
	}
	return fmt.Sprintf("%T", inner)
}

func errorTypeOf(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return telemetry.ErrorCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return telemetry.ErrorTimeout
	case is[*net.DNSError](err): // before timeouts, which it may be of the name server
		return telemetry.ErrorNameResolution
	case isTimeout(err):
		return telemetry.ErrorTimeout
	case isTLS(err):
		return telemetry.ErrorTLS
	case isAny(err, syscall.ECONNREFUSED, wsaConnectionRefused):
		return telemetry.ErrorConnectionRefused
	case isAny(err, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, wsaConnectionReset, wsaConnectionAborted), is[streamError](err):
		return telemetry.ErrorConnectionReset
	case isAny(err, io.ErrUnexpectedEOF, io.EOF):
		return telemetry.ErrorUnexpectedEOF
	}
	return telemetry.Other
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// isTLS includes the alerts of either side, whose type crypto/tls keeps for
// itself.
func isTLS(err error) bool {
	if e, ok := errors.AsType[*net.OpError](err); ok && (e.Op == "remote error" || e.Op == "local error") {
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch) || is[tls.RecordHeaderError](err) || is[*tls.CertificateVerificationError](err) ||
		is[*tls.ECHRejectionError](err) || is[tls.AlertError](err)
}

// streamError is a stream of HTTP/2 that was reset. The error of net/http
// converts itself to any struct of this form.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements [error].
func (e streamError) Error() string { return "stream reset" }
