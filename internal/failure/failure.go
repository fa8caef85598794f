// Package failure says of errors of HTTP requests what telemetry may tell: one
// of a few types, and a text without what errors quote, such as a URL with its
// query.
package failure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Numbers of Windows, whose package syscall has others under these names. No
// other system has numbers that high.
const (
	wsaConnectionAborted = syscall.Errno(10053)
	wsaConnectionReset   = syscall.Errno(10054)
	wsaConnectionRefused = syscall.Errno(10061)
)

// ErrAbandoned stands for the error of a RoundTripper that panicked.
var ErrAbandoned = errors.New("RoundTrip did not return")

// Failure is an error as telemetry tells it.
type Failure struct {
	errorType string
	err       error
}

// Of returns that of an error of a request with the context ctx.
func Of(ctx context.Context, err error) Failure {
	errorType := typeOf(err)
	if errorType == telemetry.Other && err != ErrAbandoned { //nolint:errorlint // never wrapped
		switch deadline, ok := ctx.Deadline(); {
		case ctx.Err() != nil:
			errorType = typeOf(ctx.Err()) // err is the cause given to the context
		case ok && !time.Now().Before(deadline):
			errorType = telemetry.ErrorTimeout // http.Client.Timeout does not wait for the context
		}
	}
	return Failure{errorType: errorType, err: err}
}

// ErrorType returns the value of error.type. It is where otelhttp gets it.
func (f Failure) ErrorType() string { return f.errorType }

// Error returns the description of a span's status. It is where otelhttp gets it.
func (f Failure) Error() string {
	for _, told := range [...]func(error) string{
		textOf[*net.DNSError], textOf[*net.OpError], textOf[*tls.CertificateVerificationError], textOf[tls.RecordHeaderError],
		textOf[tls.AlertError], textOf[x509.UnknownAuthorityError], textOf[x509.HostnameError], textOf[x509.CertificateInvalidError],
	} {
		if text := told(f.err); text != "" {
			return text
		}
	}
	switch {
	case errors.Is(f.err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch.Error()
	case f.errorType != telemetry.Other:
		return f.errorType
	case f.err == ErrAbandoned: //nolint:errorlint // never wrapped
		return f.err.Error()
	}
	inner := f.err
	for next := inner; next != nil; next = errors.Unwrap(next) {
		inner = next
	}
	return fmt.Sprintf("%T", inner)
}

// textOf returns the text of an error of the type E, none of which quotes a
// request, or "".
func textOf[E error](err error) string {
	if e, ok := errors.AsType[E](err); ok {
		return e.Error()
	}
	return ""
}

func typeOf(err error) string {
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
