package doctor

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// isAlert reports whether the peer said in TLS what is wrong.
func isAlert(err error) bool {
	_, ok := errors.AsType[tls.AlertError](err)
	return ok || strings.Contains(err.Error(), "remote error: tls:")
}

// certificate tells what is wrong with the server's.
func (p push) certificate(err error) (f Finding, ok bool) {
	f = Finding{Part: partOTLP, Check: "certificate", Level: Failure}
	of := "the certificate of " + p.Address
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		f.Message = fmt.Sprintf("%s is not for %s, but for %s", of, printable(wrong.Host), cmp.Or(namesIn(wrong.Certificate), "no name"))
		f.Advice = "Use a name of the certificate in OTEL_EXPORTER_OTLP_ENDPOINT, or make one with this name."
		return f, true
	}
	if wrong, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		f.Message = of + " is by an authority that is not known here"
		if wrong.Cert != nil {
			f.Message += ": " + printable(wrong.Cert.Issuer.String())
		}
		f.Advice = "Set OTEL_EXPORTER_OTLP_CERTIFICATE to a PEM file with the certificate of that authority."
		return f, true
	}
	if wrong, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return expired(f, of, wrong), true
	}
	return f, false
}

// expired tells of a certificate that does not hold now, or at all.
func expired(f Finding, of string, wrong x509.CertificateInvalidError) Finding {
	now := time.Now()
	switch {
	case wrong.Reason != x509.Expired || wrong.Cert == nil:
		f.Message, f.Advice = fmt.Sprintf("%s is not valid: %s", of, printable(wrong.Error())), "Make another one."
	case now.Before(wrong.Cert.NotBefore):
		f.Message = fmt.Sprintf("%s is not valid before %s", of, wrong.Cert.NotBefore.UTC().Format(time.RFC3339))
		f.Advice = "Compare the clock of this machine, where it is " + now.UTC().Format(time.RFC3339) + "."
	default:
		f.Message = fmt.Sprintf("%s expired on %s", of, wrong.Cert.NotAfter.UTC().Format(time.RFC3339))
		f.Advice = "Renew it, and have the server read it."
	}
	return f
}

// namesIn are those that a certificate is for, as far as there is room.
func namesIn(c *x509.Certificate) string {
	var names []string
	names = append(names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return printable(strings.Join(names, ", "))
}

// wantsCertificate reports whether a server asks for one of the client's. With
// TLS 1.3 it says so only after the handshake.
func wantsCertificate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "tls: certificate required") || strings.Contains(text, "tls: bad certificate") ||
		strings.Contains(text, "tls: unknown certificate authority")
}

func (p push) clientCertificate(err error) Finding {
	return Finding{
		partOTLP, "client-certificate", Failure,
		fmt.Sprintf("%s wants another client certificate: %s", p.Address, printable(err.Error())),
		"Set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY to one that the server takes.",
	}
}
