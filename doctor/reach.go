package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// reach goes as far as an export does before it begins: name, connection, TLS.
func (p push) reach(ctx context.Context) []Finding {
	if p.proxied { // which does all that
		return nil
	}
	if f := p.resolve(ctx); f != nil {
		return []Finding{*f}
	}
	conn, err := p.dial(ctx, p.Address)
	if err != nil {
		return []Finding{p.unconnected(ctx, err)}
	}
	defer func() { _ = conn.Close() }() // it has told what it can
	findings := []Finding{{Part: partOTLP, Check: "connection", Message: p.Address + " takes connections"}}
	if p.TLS == nil {
		return findings
	}
	return append(findings, p.handshake(ctx, conn)...)
}

// resolve returns a finding when a name leads nowhere.
func (p push) resolve(ctx context.Context) *Finding {
	host := hostOf(p.Address)
	bounded, cancel := p.step(ctx)
	defer cancel()
	_, err := net.DefaultResolver.LookupHost(bounded, host)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return new(unfinished(partOTLP, "looking up "+host, because(ctx, ctx.Err())))
	}
	f := Finding{partOTLP, "name", Failure, fmt.Sprintf("%s does not resolve: %v", host, withoutServer(because(bounded, err))), ""}
	f.Advice = "Correct the host in OTEL_EXPORTER_OTLP_ENDPOINT; names of Docker Compose and Kubernetes hold inside their networks alone."
	return &f
}

// withoutServer is what went wrong with a name, without the name.
func withoutServer(err error) error {
	if wrapped, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New(wrapped.Err)
	}
	return err
}

// step is ctx for one step: a name, a connection, a handshake.
func (p push) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.stepTimeout, fmt.Errorf("no answer within %v", p.stepTimeout))
}

func (p push) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := p.step(ctx)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, because(ctx, err)
	}
	return conn, nil
}

// unconnected tells why nobody took the connection.
func (p push) unconnected(ctx context.Context, err error) Finding {
	f := Finding{partOTLP, "connection", Failure, fmt.Sprintf("%s takes no connection: %v", p.Address, withoutAddress(err)), ""}
	switch {
	case ctx.Err() != nil:
		return unfinished(partOTLP, "connecting to "+p.Address, because(ctx, ctx.Err()))
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Message = fmt.Sprintf("nothing listens on %s, where %s go: connection refused", p.Address, together(p.names()))
		f.Advice = p.start(ctx)
	default:
		f.Advice = "Look at the address, and at firewalls and network policies on the way."
	}
	return f
}

// withoutAddress is what went wrong with a connection, without what was done.
func withoutAddress(err error) error {
	if wrapped, ok := errors.AsType[*net.OpError](err); ok {
		return wrapped.Err
	}
	return err
}

// start advises on how somebody comes to listen.
func (p push) start(ctx context.Context) string {
	host, port, _ := net.SplitHostPort(p.Address)
	other := map[string]string{"4317": "4318", "4318": "4317"}[port]
	if other != "" {
		address := net.JoinHostPort(host, other)
		if conn, err := p.dial(ctx, address); err == nil {
			_ = conn.Close()
			return fmt.Sprintf("Somebody listens on %s: set OTEL_EXPORTER_OTLP_ENDPOINT=http://%s, with OTEL_EXPORTER_OTLP_PROTOCOL=%s.",
				address, address, protocolAt(other))
		}
	}
	return "Start a Collector there (make up in the toolkit's folder), or correct OTEL_EXPORTER_OTLP_ENDPOINT;" +
		" without a Collector, set " + together(p.off()) + "."
}

// names are those of its signals.
func (p push) names() (names []string) {
	for _, target := range p.signals {
		names = append(names, target.Signal)
	}
	return names
}

// off are the variables with which nothing is pushed there.
func (p push) off() (variables []string) {
	for _, signal := range p.names() {
		without := "none"
		if signal == "metrics" {
			without = "prometheus"
		}
		variables = append(variables, "OTEL_"+strings.ToUpper(signal)+"_EXPORTER="+without)
	}
	return variables
}

// protocolAt is what the ports of OTLP are for.
func protocolAt(port string) string {
	if port == "4318" {
		return "http/protobuf"
	}
	return grpcProtocol
}

// handshake makes TLS of a connection.
func (p push) handshake(ctx context.Context, conn net.Conn) []Finding {
	bounded, cancel := p.step(ctx)
	defer cancel()
	config, asked := p.TLS.Clone(), false
	config.NextProtos = []string{"h2", "http/1.1"}
	config.GetClientCertificate = func(wanted *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return suitable(p.TLS.Certificates, wanted), nil
	}
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(bounded)
	if err == nil && asked { // with TLS 1.3 it is refused only now
		defer context.AfterFunc(bounded, func() { _ = conn.Close() })()
		if _, refused := p.ask(secure); refused != nil && isAlert(refused) {
			err = refused
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return []Finding{unfinished(partOTLP, "TLS with "+p.Address, because(ctx, ctx.Err()))}
		}
		return []Finding{p.insecure(ctx, because(bounded, err))}
	}
	return []Finding{p.negotiated(secure.ConnectionState())}
}

// suitable returns the certificate that a server takes, or an empty one, as
// crypto/tls does.
func suitable(certificates []tls.Certificate, wanted *tls.CertificateRequestInfo) *tls.Certificate {
	for i := range certificates {
		if wanted.SupportsCertificate(&certificates[i]) == nil {
			return &certificates[i]
		}
	}
	return &tls.Certificate{}
}

// negotiated tells of a connection that has TLS.
func (p push) negotiated(state tls.ConnectionState) Finding {
	if p.Protocol == grpcProtocol && state.NegotiatedProtocol != "h2" {
		return Finding{
			partOTLP, "protocol", Failure, p.Address + " does not speak HTTP/2 over TLS (no ALPN), which gRPC needs",
			"Set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and the port for it, or let the proxy in between speak HTTP/2.",
		}
	}
	leaf := state.PeerCertificates[0]
	f := Finding{Part: partOTLP, Check: "tls", Message: fmt.Sprintf("%s speaks %s, its certificate is valid until %s",
		p.Address, tls.VersionName(state.Version), leaf.NotAfter.UTC().Format(time.DateOnly))}
	if left := time.Until(leaf.NotAfter); left < 7*24*time.Hour {
		f.Check, f.Level, f.Advice = "certificate", Warning, "Renew it: nothing is delivered from then on."
		f.Message = fmt.Sprintf("the certificate of %s expires in %v", p.Address, left.Round(time.Minute))
	}
	return f
}

// insecure tells why there is no TLS.
func (p push) insecure(ctx context.Context, err error) Finding {
	if f, ok := p.certificate(err); ok {
		return f
	}
	f := Finding{partOTLP, "tls", Failure, fmt.Sprintf("no TLS with %s: %s", p.Address, printable(err.Error())), ""}
	switch {
	case wantsCertificate(err):
		return p.clientCertificate(err)
	case isPlaintext(err) || !isAlert(err) && p.speaks(ctx, nil) != unknown:
		f.Check = "plaintext-port"
		f.Message = p.Address + " speaks plaintext, and was spoken to with TLS"
		f.Advice = "Set OTEL_EXPORTER_OTLP_ENDPOINT=http://" + p.Address + ", unless it should have TLS."
	default:
		f.Advice = "Look at the log of the server: it may want a client certificate (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE), or have no TLS 1.2."
	}
	return f
}

func isPlaintext(err error) bool {
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}
