package doctor_test

import (
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestOTLPRefused(t *testing.T) {
	runEndpointTests(t, map[string]endpointTest{
		"gRPC to a port for HTTP": {
			variables: func(t *testing.T) variables { return grpcTo(faultcollector.Start(t).HTTP) },
			want:      found{check: "protocol", level: doctor.Failure, advice: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "4318"}},
		},
		"HTTP to a port for gRPC": {
			variables: func(t *testing.T) variables { return httpTo(faultcollector.Start(t).GRPC) },
			want:      found{check: "protocol", level: doctor.Failure, message: []string{"HTTP/2"}, advice: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "4317"}},
		},
		"HTTP to a web server": {
			variables: func(t *testing.T) variables { return httpTo(plaintext(t, webPage)) },
			want:      found{check: "protocol", level: doctor.Failure, message: []string{"200 OK"}},
		},
		"HTTP to a server that redirects": {
			variables: func(t *testing.T) variables {
				return httpTo(plaintext(t, http.RedirectHandler("https://example.org/", http.StatusMovedPermanently).ServeHTTP))
			},
			want: found{check: "protocol", level: doctor.Failure, message: []string{"with a redirect, status 301"}, advice: []string{"where it leads", "https://"}},
		},
		"gRPC to a web server": {
			variables: func(t *testing.T) variables { return grpcTo(plaintext(t, webPage)) },
			want:      found{check: "protocol", level: doctor.Failure},
		},
		"credentials are missing over HTTP": {
			variables: func(t *testing.T) variables { return httpTo(plaintext(t, status(401))) },
			want:      found{check: "authentication", level: doctor.Failure, message: []string{"401"}, advice: []string{"No header was sent", "OTEL_EXPORTER_OTLP_HEADERS"}},
		},
		"credentials are wrong over HTTP": {
			variables: func(t *testing.T) variables {
				return httpTo(plaintext(t, status(403))).with("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20secret,x-scope=shop")
			},
			want: found{check: "authentication", level: doctor.Failure, message: []string{"403"}, advice: []string{"authorization and x-scope"}},
		},
		"credentials are missing over gRPC": {
			variables: func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated}))
			},
			want: found{check: "authentication", level: doctor.Failure, message: []string{"UNAUTHENTICATED"}},
		},
		"credentials are wrong over gRPC": {
			variables: func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.PermissionDenied})).with("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
			},
			want: found{check: "authentication", level: doctor.Failure, message: []string{"PERMISSION_DENIED"}, advice: []string{"api-key"}},
		},
		"a path that is not there": {
			variables: func(t *testing.T) variables { return httpTo(plaintext(t, status(404))) },
			want:      found{check: "path", level: doctor.Failure, message: []string{"404"}, advice: []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		},
		"a service of gRPC that is not there": {
			variables: func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Unimplemented}))
			},
			want: found{check: "path", level: doctor.Failure, message: []string{"UNIMPLEMENTED"}},
		},
		"a signal without a pipeline over HTTP": {
			variables: func(t *testing.T) variables {
				return answering(t, true, refusing("logs", faultcollector.Reply{Status: 404}))
			},
			want: found{check: "pipeline", level: doctor.Failure, message: []string{"does not take logs", "404"}, advice: []string{"pipeline for logs"}},
		},
		"signals without a pipeline over gRPC": {
			variables: func(t *testing.T) variables {
				return answering(t, false, func(r faultcollector.Request) faultcollector.Reply {
					if r.Signal == "traces" {
						return faultcollector.Reply{}
					}
					return faultcollector.Reply{Code: codes.Unimplemented, Message: "unknown service"}
				})
			},
			want: found{check: "pipeline", level: doctor.Failure, message: []string{"does not take metrics and logs", "unknown service"}},
		},
		"a Collector that takes nothing for now": {
			variables: func(t *testing.T) variables {
				return answering(t, true, faultcollector.Always(faultcollector.Reply{Status: 503}))
			},
			want: found{check: "overload", level: doctor.Failure, message: []string{"503"}, advice: []string{"memory limiter"}},
		},
		"a Collector that takes nothing for now, over gRPC": {
			variables: func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Unavailable, Message: "data refused due to high memory usage"}))
			},
			want: found{check: "overload", level: doctor.Failure, message: []string{"high memory usage"}, advice: []string{"memory limiter"}},
		},
		"a Collector that fails": {
			variables: func(t *testing.T) variables {
				return answering(t, false, faultcollector.Always(faultcollector.Reply{Code: codes.Internal, Message: "boom"}))
			},
			want: found{check: "export", level: doctor.Failure, message: []string{"INTERNAL", "boom"}, advice: []string{"log"}},
		},
	})
}
