package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// explain tells why exports failed, all for the same reason. Others is whether
// the place takes other signals.
func (p push) explain(ctx context.Context, failed []attempt, others bool) Finding {
	err, what := failed[0].err, signalsOf(failed)
	if ctx.Err() != nil {
		return unfinished(partOTLP, "sending "+what+" to "+p.Address, because(ctx, ctx.Err()))
	}
	if wantsCertificate(err) {
		return p.clientCertificate(err)
	}
	f := Finding{partOTLP, "export", Failure, fmt.Sprintf("%s does not take %s: %s", p.Address, what, printable(err.Error())), "Look at the log of the Collector."}
	if errors.Is(err, context.DeadlineExceeded) {
		f.Message = fmt.Sprintf("%s does not answer an export of %s within %s", p.Address, what, rounded(longest(failed)))
	}
	switch reason := reasonOf(err); reason {
	case "UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403", "407":
		f.Check, f.Advice = "authentication", authenticate(failed)
	case "UNIMPLEMENTED", "404":
		if saysHTTP(err) {
			return p.anotherProtocol(f)
		}
		return notThere(f, what, others)
	case "RESOURCE_EXHAUSTED", "429", "503":
		return overloaded(f)
	case "405", "415", "426", telemetry.LostBadResponse:
		return p.anotherProtocol(f)
	case "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN", "400":
		return p.silent(ctx, f, reason)
	default:
		if strings.HasPrefix(reason, "3") {
			f.Check, f.Message = "protocol", fmt.Sprintf("%s answers an export of %s with a redirect, status %s, which is not followed", p.Address, what, reason)
			f.Advice = "Set OTEL_EXPORTER_OTLP_ENDPOINT to where it leads, such as https:// in place of http://; if that is a login page, it is no OTLP receiver."
		}
	}
	return f
}

func longest(attempts []attempt) (took time.Duration) {
	for _, a := range attempts {
		took = max(took, a.answer.Took)
	}
	return took
}

// saysHTTP reports whether gRPC met an ordinary web server.
func saysHTTP(err error) bool {
	return strings.Contains(err.Error(), "unexpected HTTP status code") || strings.Contains(err.Error(), "unexpected content-type")
}

// notThere tells of a signal that has no pipeline, or of something that has none
// for any.
func notThere(f Finding, what string, others bool) Finding {
	if others {
		f.Check, f.Advice = "pipeline", "Add a pipeline for "+what+" with the receiver otlp to the Collector's configuration, or set the exporter of the signal to none."
		return f
	}
	f.Check, f.Advice = "path", "It is no OTLP receiver, at least not at this path, or has no pipeline: correct OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/traces and so on are appended over HTTP."
	return f
}

// reasonOf is what the error of a probe begins with: a status of gRPC or HTTP, or
// another error.type.
func reasonOf(err error) string {
	text := err.Error()
	if end := strings.IndexAny(text, ": "); end >= 0 {
		return text[:end]
	}
	return text
}

// authenticate names the headers that went along, and no value.
func authenticate(failed []attempt) string {
	vars, names := &env.Reader{}, []string(nil)
	for _, a := range failed {
		variable := "OTEL_EXPORTER_OTLP_" + strings.ToUpper(a.target.Signal) + "_HEADERS"
		if !vars.IsSet(variable) {
			variable = "OTEL_EXPORTER_OTLP_HEADERS"
		}
		pairs, _ := vars.Pairs(variable)
		for _, pair := range pairs {
			names = append(names, strings.ToLower(pair.Key))
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return "No header was sent: set OTEL_EXPORTER_OTLP_HEADERS, such as authorization=Bearer%20TOKEN."
	}
	return "Sent with " + printable(together(names)) + ": correct the values in OTEL_EXPORTER_OTLP_HEADERS, which are percent-encoded."
}

// anotherProtocol tells of the mix-up of ports and protocols.
func (p push) anotherProtocol(f Finding) Finding {
	f.Check = "protocol"
	if p.Protocol == grpcProtocol {
		f.Advice = "It is no gRPC server for OTLP: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf if it takes OTLP over HTTP, whose usual port is 4318, or correct the address; gRPC's is 4317."
		return f
	}
	f.Advice = "It takes no OTLP over HTTP: set OTEL_EXPORTER_OTLP_PROTOCOL=grpc if it takes gRPC, whose usual port is 4317, or correct the address; HTTP's is 4318."
	return f
}

// silent tells of a server that takes connections and does not answer, at least
// not in the protocol. It has answered if it speaks that.
func (p push) silent(ctx context.Context, f Finding, reason string) Finding {
	if p.proxied {
		f.Check, f.Advice = "answer", "Look at whether the proxy lets it through, and at the log of the Collector."
		return f
	}
	p.stepTimeout = p.stepTimeout * 2 / 5 // for two steps to somebody who takes connections
	if p.TLS == nil && p.takesTLS(ctx) {
		f.Check, f.Message = "tls-port", p.Address+" speaks TLS, and was spoken to in plaintext"
		f.Advice = "Set OTEL_EXPORTER_OTLP_ENDPOINT=https://" + p.Address + "."
		return f
	}
	spoken := p.speaks(ctx, p.TLS)
	switch {
	case ctx.Err() != nil:
		return unfinished(partOTLP, "looking at what "+p.Address+" speaks", because(ctx, ctx.Err()))
	case spoken == unknown:
		f.Check, f.Advice = "answer", "It takes connections and does not answer in time: look at whether it is an OTLP receiver, at its load and at its log."
	case (spoken == http2) != (p.Protocol == grpcProtocol):
		f.Message = fmt.Sprintf("%s speaks %s; it was spoken to in %s", p.Address, spoken, p.Protocol)
		return p.anotherProtocol(f)
	case reason == "UNAVAILABLE" && p.Protocol == grpcProtocol:
		return overloaded(f)
	case reason == "UNAVAILABLE", reason == "DEADLINE_EXCEEDED":
		f.Check, f.Advice = "answer", "It answers, but no export, or not in time: look at its load and its log."
	}
	return f
}

func overloaded(f Finding) Finding {
	f.Check, f.Advice = "overload", "It takes nothing now: look at the Collector's memory limiter, its queue and its log."
	return f
}

// language is what a server begins to speak when it gets a request of HTTP/1.
type language string

const (
	unknown language = ""
	http1   language = "HTTP/1"
	http2   language = "HTTP/2, as gRPC does"
)

// speaks asks for a page; without config it does so in plaintext.
func (p push) speaks(ctx context.Context, config *tls.Config) language {
	ctx, cancel := p.step(ctx)
	defer cancel()
	conn, err := p.dial(ctx, p.Address)
	if err != nil {
		return unknown
	}
	defer func() { _ = conn.Close() }() // it has told what it can
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if config != nil {
		conn = tls.Client(conn, config)
	}
	begin, err := p.ask(conn)
	if err != nil {
		return unknown
	}
	const settings = 4
	switch {
	case string(begin) == "HTTP/":
		return http1
	case begin[0] == 0 && begin[3] == settings && begin[4] == 0:
		return http2
	}
	return unknown
}

// ask sends a request of HTTP/1 and returns how the answer begins.
func (p push) ask(conn net.Conn) ([]byte, error) {
	// A peer that is gone may have said why.
	_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", p.Address)
	begin := make([]byte, len("HTTP/"))
	_, err := io.ReadFull(conn, begin)
	return begin, err
}

// takesTLS reports whether a server answers in TLS, whatever it says: nothing is
// sent to it.
func (p push) takesTLS(ctx context.Context) bool {
	ctx, cancel := p.step(ctx)
	defer cancel()
	conn, err := p.dial(ctx, p.Address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()                                            // it has told what it can
	config := &tls.Config{ServerName: hostOf(p.Address), InsecureSkipVerify: true} //nolint:gosec // nothing is sent
	err = tls.Client(conn, config).HandshakeContext(ctx)
	return err == nil || isAlert(err)
}
