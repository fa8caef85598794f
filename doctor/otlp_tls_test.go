package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestOTLPOverTLS(t *testing.T) {
	runEndpointTests(t, map[string]endpointTest{
		"a Collector takes all signals over gRPC and TLS": {
			variables: func(t *testing.T) variables {
				c, config := faultcollector.StartTLS(t)
				return grpcTo(c.GRPC).overTLS(authorityOf(t, c.GRPC, config))
			},
			want: found{check: "export", message: []string{"takes traces, metrics and logs"}},
		},
		"TLS is fine over HTTP": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, nil, nil)
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "tls", message: []string{"TLS 1.3", "valid until"}},
		},
		"a certificate of an unknown authority": {
			variables: func(t *testing.T) variables {
				address, _ := secure(t, nil, nil)
				return httpTo(address).overTLS("")
			},
			want: found{check: "certificate", level: doctor.Failure, message: []string{"authority that is not known", "CN=collector"}, advice: []string{"OTEL_EXPORTER_OTLP_CERTIFICATE"}},
		},
		"a certificate of an unknown authority, over gRPC": {
			variables: func(t *testing.T) variables {
				c, _ := faultcollector.StartTLS(t)
				return grpcTo(c.GRPC).overTLS("")
			},
			want: found{check: "certificate", level: doctor.Failure, message: []string{"authority that is not known"}},
		},
		"a certificate for another name": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) {
					c.IPAddresses, c.DNSNames = nil, []string{"collector.example.org"}
				}, nil)
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "certificate", level: doctor.Failure, message: []string{"not for 127.0.0.1", "collector.example.org"}, advice: []string{"Use a name"}},
		},
		"a certificate that has expired": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) {
					c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
				}, nil)
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "certificate", level: doctor.Failure, message: []string{"expired on"}, advice: []string{"Renew"}},
		},
		"a certificate that is not valid yet": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, nil)
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "certificate", level: doctor.Failure, message: []string{"not valid before"}, advice: []string{"clock"}},
		},
		"a certificate that is about to expire": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(48*time.Hour + time.Minute) }, nil)
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "certificate", level: doctor.Warning, message: []string{"expires in 48h"}, advice: []string{"Renew"}},
		},
		"a server that wants a client certificate": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "client-certificate", level: doctor.Failure, message: []string{"client certificate"}, advice: []string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}},
		},
		"a server that wants a client certificate, over gRPC": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"}})
				return grpcTo(address).overTLS(authority)
			},
			want: found{check: "client-certificate", level: doctor.Failure},
		},
		"a server that wants a client certificate, over TLS 1.2": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12})
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "tls", level: doctor.Failure, message: []string{"handshake failure"}, advice: []string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}},
		},
		"a server that has old TLS alone": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
				return httpTo(address).overTLS(authority)
			},
			want: found{check: "tls", level: doctor.Failure, message: []string{"no TLS with"}, advice: []string{"TLS 1.2"}},
		},
		"gRPC over TLS to a server without HTTP/2": {
			variables: func(t *testing.T) variables {
				address, authority := secure(t, nil, &tls.Config{NextProtos: []string{"http/1.1"}})
				return grpcTo(address).overTLS(authority)
			},
			want: found{check: "protocol", level: doctor.Failure, message: []string{"HTTP/2"}, advice: []string{"http/protobuf"}},
		},
		"plaintext to a port with TLS, over gRPC": {
			variables: func(t *testing.T) variables {
				c, _ := faultcollector.StartTLS(t)
				return grpcTo(c.GRPC)
			},
			want: found{check: "tls-port", level: doctor.Failure, message: []string{"speaks TLS"}, advice: []string{"https://"}},
		},
		"plaintext to a port with TLS, over HTTP": {
			variables: func(t *testing.T) variables {
				address, _ := secure(t, nil, nil)
				return httpTo(address)
			},
			want: found{check: "tls-port", level: doctor.Failure, message: []string{"speaks TLS"}, advice: []string{"https://"}},
		},
		"TLS to a plaintext port, over gRPC": {
			variables: func(t *testing.T) variables { return answering(t, false, nil).overTLS("") },
			want:      found{check: "plaintext-port", level: doctor.Failure, message: []string{"speaks plaintext"}, advice: []string{"http://"}},
		},
		"TLS to a plaintext port, over HTTP": {
			variables: func(t *testing.T) variables { return answering(t, true, nil).overTLS("") },
			want:      found{check: "plaintext-port", level: doctor.Failure, message: []string{"speaks plaintext"}, advice: []string{"http://"}},
		},
		"a server that says nothing over TLS": {
			variables: func(t *testing.T) variables { return httpTo(listener(t, "127.0.0.1:0", silence)).overTLS("") },
			want:      found{check: "tls", level: doctor.Failure, message: []string{"no answer within"}},
			timeout:   time.Second,
		},
	})
}
