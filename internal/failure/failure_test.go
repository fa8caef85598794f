package failure_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/otelmon/toolkit/internal/failure"
)

// Whatever is told does not have what errors quote of a request.
func TestError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err             error
		errorType, text string
	}{
		"no TLS on the other side": {
			tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
			"tls", "tls: first record does not look like a TLS handshake",
		},
		"HTTP on the other side": {http.ErrSchemeMismatch, "tls", "http: server gave HTTP response to HTTPS client"},
		"an alert":               {tls.AlertError(40), "tls", "tls: handshake failure"},
		"an unknown authority":   {x509.UnknownAuthorityError{}, "_OTHER", "x509: certificate signed by unknown authority"},
		"a certificate out of date": {
			&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}},
			"tls", "tls: failed to verify certificate: x509: certificate is not authorized to sign other certificates",
		},
		"a connection that is refused": {
			&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}, "_OTHER", "dial tcp: refused",
		},
		"the end of a connection": {io.ErrUnexpectedEOF, "unexpected_eof", "unexpected_eof"},
		"what nobody knows":       {fmt.Errorf("for %q: %w", "secret", errors.New("secret")), "_OTHER", "*errors.errorString"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := failure.Of(t.Context(), &url.Error{Op: "Get", URL: "https://a/?key=secret", Err: test.err})
			if got.ErrorType() != test.errorType || got.Error() != test.text {
				t.Errorf("got %q and %q, want %q and %q", got.ErrorType(), got.Error(), test.errorType, test.text)
			}
		})
	}
}
