package exporters_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/exporters"
)

const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value, protocol string
		insecure        *bool
		want            exporters.Endpoint
		wantErr         string
	}{
		"an IPv4 loopback address is plaintext gRPC":  {value: "127.0.0.1:4317", want: exporters.Endpoint{protocolGRPC, "127.0.0.1:4317", "", true}},
		"localhost is plaintext gRPC":                 {value: "localhost:4317", want: exporters.Endpoint{protocolGRPC, "localhost:4317", "", true}},
		"localhost is known in any case":              {value: "LocalHost:4317", want: exporters.Endpoint{protocolGRPC, "LocalHost:4317", "", true}},
		"an IPv6 loopback address is plaintext gRPC":  {value: "[::1]:4317", want: exporters.Endpoint{protocolGRPC, "[::1]:4317", "", true}},
		"port 4318 is HTTP":                           {value: "localhost:4318", want: exporters.Endpoint{protocolHTTP, "localhost:4318", "", true}},
		"another host is spoken to over TLS":          {value: "collector:4317", want: exporters.Endpoint{protocolGRPC, "collector:4317", "", false}},
		"another IPv4 address is spoken to over TLS":  {value: "10.0.0.1:4317", want: exporters.Endpoint{protocolGRPC, "10.0.0.1:4317", "", false}},
		"a bare host gets the port of gRPC":           {value: "collector", want: exporters.Endpoint{protocolGRPC, "collector:4317", "", false}},
		"a bare host gets the port of HTTP":           {value: "collector", protocol: protocolHTTP, want: exporters.Endpoint{protocolHTTP, "collector:4318", "", false}},
		"a host may end in a colon":                   {value: "collector:", want: exporters.Endpoint{protocolGRPC, "collector:4317", "", false}},
		"a path is HTTP":                              {value: "collector:443/otlp", want: exporters.Endpoint{protocolHTTP, "collector:443", "/otlp", false}},
		"an http URL is plaintext gRPC":               {value: "http://collector:4317", want: exporters.Endpoint{protocolGRPC, "collector:4317", "", true}},
		"the root path is no path":                    {value: "http://collector:4317/", want: exporters.Endpoint{protocolGRPC, "collector:4317", "/", true}},
		"an IPv6 URL on port 4318 is HTTP":            {value: "http://[::1]:4318", want: exporters.Endpoint{protocolHTTP, "[::1]:4318", "", true}},
		"a URL with a path is HTTP":                   {value: "https://collector/otlp/v1/traces/", want: exporters.Endpoint{protocolHTTP, "collector:443", "/otlp/v1/traces/", false}},
		"an https URL has a port of its own":          {value: "https://collector", want: exporters.Endpoint{protocolGRPC, "collector:443", "", false}},
		"an http URL has a port of its own":           {value: "http://collector", protocol: protocolHTTP, want: exporters.Endpoint{protocolHTTP, "collector:80", "", true}},
		"a scheme is known in any case":               {value: "HTTPS://collector:4317", want: exporters.Endpoint{protocolGRPC, "collector:4317", "", false}},
		"a protocol that is given beats the port":     {value: "localhost:4318", protocol: protocolGRPC, want: exporters.Endpoint{protocolGRPC, "localhost:4318", "", true}},
		"insecure makes another host plaintext":       {value: "collector:4317", insecure: new(true), want: exporters.Endpoint{protocolGRPC, "collector:4317", "", true}},
		"secure makes loopback TLS":                   {value: "localhost:4317", insecure: new(false), want: exporters.Endpoint{protocolGRPC, "localhost:4317", "", false}},
		"a scheme beats insecure":                     {value: "https://collector:4317", insecure: new(true), want: exporters.Endpoint{protocolGRPC, "collector:4317", "", false}},
		"an IPv6 address without brackets is refused": {value: "::1:4317", wantErr: "address"},
		"another scheme is refused":                   {value: "ftp://x", wantErr: "unknown scheme"},
		"a gRPC target is refused":                    {value: "dns:///collector:4317", wantErr: "unknown scheme"},
		"credentials are refused":                     {value: "http://user:CANARY@collector", wantErr: "credentials"},
		"a query is refused":                          {value: "http://collector?token=CANARY", wantErr: "query"},
		"a fragment is refused":                       {value: "http://collector/#CANARY", wantErr: "fragment"},
		"a password is no scheme":                     {value: "CANARY:x@collector?from=http://x", wantErr: "unknown scheme"},
		"an empty host is refused":                    {value: "http://:4318", wantErr: "no host"},
		"a port alone is refused":                     {value: ":4317", wantErr: "no host"},
		"a scheme alone is refused":                   {value: "https://", wantErr: "no host"},
		"a port that is no number is refused":         {value: "collector:otlp", wantErr: "not an address"},
		"a port out of range is refused":              {value: "collector:65536", wantErr: "65535"},
		"port zero is refused":                        {value: "collector:0", wantErr: "65535"},
		"a space is refused":                          {value: "col lector:4317", wantErr: "not an address"},
		"a list is refused":                           {value: "one,two:4317", wantErr: "more than one address"},
		"a bad escape is refused":                     {value: "http://%zz", wantErr: "not an address"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := exporters.ParseEndpoint(test.value, test.protocol, test.insecure)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) || strings.Contains(err.Error(), "CANARY") {
					t.Fatalf("got %+v and error %v, want an error that says %q and no secret", got, err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("endpoint differs (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, seed := range []string{"localhost:4317", "http://[::1]:4318", "::1:4317", "https://collector/otlp", "ftp://x", "collector:65536", "@", "//", "%", "[fe80::1%25eth0]:4317"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got, err := exporters.ParseEndpoint("http://user:CANARY@"+value, "", nil); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("got %+v and error %v for credentials, want an error without them", got, err)
		}
		got, err := exporters.ParseEndpoint(value, "", nil)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(got.Address)
		if err != nil || host == "" {
			t.Fatalf("got address %q (%v), want host:port", got.Address, err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			t.Errorf("got port %q", port)
		}
		if strings.ContainsAny(host, "%") {
			return // a zone is written in another way in a URL
		}
		again, err := exporters.ParseEndpoint(got.Address, got.Protocol, &got.Plaintext)
		if err != nil || again.Address != got.Address || again.Plaintext != got.Plaintext {
			t.Errorf("got %+v (%v) from %+v", again, err, got)
		}
	})
}
