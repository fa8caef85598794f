package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// clientSnoop is a SpanProcessor that keeps all that it sees of a span when it starts.
type clientSnoop struct {
	sdktrace.SpanProcessor
	seen *strings.Builder
}

func (s clientSnoop) OnStart(ctx context.Context, span sdktrace.ReadWriteSpan) {
	fmt.Fprintf(s.seen, "%+v", tracetest.SpanStubFromReadOnlySpan(span))
	s.SpanProcessor.OnStart(ctx, span)
}

// clientEverything returns all that the SDK has of spans and metrics as text.
func clientEverything(t *testing.T, sdk *clientSDK) string {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := sdk.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v", data.ScopeMetrics)
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			for series := range sdk.histogram(t, m.Name) {
				text += m.Name + " " + series + "\n"
			}
		}
	}
	for _, span := range sdk.spans.Ended() {
		stub := tracetest.SpanStubFromReadOnlySpan(span)
		text += fmt.Sprintf("%+v\n", stub)
		for _, kv := range stub.Attributes {
			text += string(kv.Key) + "=" + kv.Value.String() + "\n"
		}
	}
	return text
}

func TestTransportRecordsNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "c0ffee"
	bases := map[string]clientBase{
		"a response": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusNotFound, Request: r}, nil
		},
		"an error that quotes the URL": func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New("failed at " + r.URL.RawQuery)}
		},
		"a body whose error quotes the URL": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: clientBadBody{errors.New(r.URL.String())}}, nil
		},
	}
	urls := []*url.URL{
		{Scheme: "http", Host: "api.example.com", Path: "/orders", RawQuery: "token=" + secret, Fragment: secret},
		{Scheme: "http", Host: "api.example.com", Path: "/orders", RawQuery: secret, User: url.UserPassword(secret, secret)},
		{Scheme: "http", Host: "api.example.com", Opaque: "//" + secret + "@api.example.com/orders?" + secret},
		{Scheme: "http", Host: secret + ":" + secret + "@api.example.com", Path: "/orders"},
	}
	for name, base := range bases {
		for i, u := range urls {
			for way, sdk := range newClientSDKs() {
				t.Run(fmt.Sprintf("%s of URL %d, %s", name, i, way), func(t *testing.T) {
					t.Parallel()
					var seen strings.Builder
					if p, ok := sdk.TracerProvider.(interface{ RegisterSpanProcessor(sdktrace.SpanProcessor) }); ok {
						p.RegisterSpanProcessor(clientSnoop{tracetest.NewSpanRecorder(), &seen})
					}
					r := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Authorization": {secret}}}).WithContext(t.Context())
					var sent *http.Request
					response, err := sdk.client(t, clientBase(func(r *http.Request) (*http.Response, error) {
						sent = r
						return base(r)
					})).Transport.RoundTrip(r)
					if err == nil {
						_, _ = response.Body.Read(make([]byte, 1))
						response.Body.Close()
					}
					if sent.URL.String() != u.String() || !strings.Contains(sent.URL.String(), secret) {
						t.Errorf("sent to %s, want %s", sent.URL, u)
					}
					all := seen.String() + clientEverything(t, sdk)
					if !strings.Contains(all, telemetry.ClientDuration) || way != clientUnsampled && !strings.Contains(all, "api.example.com/orders") && i != 2 {
						t.Errorf("missing in what was recorded:\n%s", all)
					}
					if at := strings.Index(all, secret); at >= 0 {
						t.Errorf("the secret was recorded: %s", all[max(0, at-200):at])
					}
				})
			}
		}
	}
}

// clientBadBody fails when it is read.
type clientBadBody struct{ err error }

func (b clientBadBody) Read([]byte) (int, error) { return 0, b.err }
func (b clientBadBody) Close() error             { return nil }

func clientCheckUTF8(t *testing.T, sdk *clientSDK) {
	t.Helper()
	if all := clientEverything(t, sdk); !utf8.ValidString(all) {
		t.Errorf("not UTF-8: %q", all)
	}
}

func TestTransportPropagatesToAllowedHostsOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		allowed []string
		host    string
		want    bool
	}{
		"all without a list":                 {nil, "any.example", true},
		"none with an empty list":            {[]string{}, "any.example", false},
		"an entry that is empty":             {[]string{"", ".", " "}, "any.example", false},
		"a host":                             {[]string{"x", "api.example.com"}, "api.example.com", true},
		"its port":                           {[]string{"api.example.com"}, "api.example.com:8443", true},
		"its case":                           {[]string{"API.example.com"}, "api.Example.COM", true},
		"its trailing dot":                   {[]string{"api.example.com"}, "api.example.com.", true},
		"a trailing dot of the list":         {[]string{"api.example.com."}, "api.example.com", true},
		"a port of the list":                 {[]string{"api.example.com:443"}, "api.example.com", true},
		"a subdomain of an exact host":       {[]string{"example.com"}, "api.example.com", false},
		"a host that ends like an exact one": {[]string{"example.com"}, "badexample.com", false},
		"a subdomain":                        {[]string{".example.com"}, "a.b.example.com", true},
		"the domain itself":                  {[]string{".example.com"}, "example.com", true},
		"a host that ends like a domain":     {[]string{".example.com"}, "badexample.com", false},
		"a host that begins like a domain":   {[]string{".example.com"}, "example.com.bad.example", false},
		"a user name like a host":            {[]string{"example.com"}, "example.com@bad.example", false},
		"IPv6":                               {[]string{"::1"}, "[::1]:8080", true},
		"IPv6 in brackets":                   {[]string{"[::1]"}, "[::1]", true},
		"IPv6 with a port":                   {[]string{"[::1]:8080"}, "[::1]", true},
		"another address":                    {[]string{"::1", "127.0.0.1"}, "[::2]", false},
		"no host":                            {[]string{".example.com"}, "", false},
	}
	for name, tt := range tests {
		for way, sdk := range newClientSDKs() {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				sdk.PropagateTo = tt.allowed
				var sent http.Header
				client := sdk.client(t, clientBase(func(r *http.Request) (*http.Response, error) {
					sent = r.Header
					return &http.Response{StatusCode: http.StatusOK}, nil
				}))
				r := &http.Request{URL: &url.URL{Scheme: "http", Host: tt.host}, Header: http.Header{"Tracestate": {"mine"}}}
				response, err := client.Transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if got := sent.Get("Traceparent") != ""; got != tt.want {
					t.Errorf("sent %v, want a traceparent: %t", sent, tt.want)
				}
				if got, ok := sent["Tracestate"]; ok {
					t.Errorf("the tracestate of another trace was sent: %q", got)
				}
			})
		}
	}
}

func TestTransportTellsAFewServersApart(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	client := sdk.client(t, clientBase(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 2}, nil
	}))
	get := func(u url.URL) {
		response, err := client.Transport.RoundTrip(&http.Request{URL: &u, Header: http.Header{}})
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	get(url.URL{Scheme: "http", Host: "\xff\xfe"})
	get(url.URL{Scheme: "http", Host: strings.Repeat("a", 300)})
	const most = 200
	get(url.URL{Scheme: "https", Host: "HOST0.example.:443"}) // another spelling of the first
	for i := range most - 1 {
		get(url.URL{Scheme: "https", Host: fmt.Sprintf("host%d.example", i)})
	}
	get(url.URL{Scheme: "https", Host: "new.example"})
	get(url.URL{Scheme: "gopher", Host: "host0.example"})
	get(url.URL{Scheme: "https", Host: "host0.example:444"})
	series := sdk.histogram(t, telemetry.ClientDuration)
	clientCheckUTF8(t, sdk)
	var counted []string
	for attributes, count := range series {
		if !strings.Contains(attributes, ".example") || count != "1" {
			attributes = strings.TrimPrefix(attributes, "http.request.method=GET,http.response.status_code=200,network.protocol.version=2,")
			counted = append(counted, attributes+" "+count)
		}
	}
	slices.Sort(counted)
	want := []string{
		"server.address=_OTHER,url.scheme=_OTHER 1",
		"server.address=_OTHER,url.scheme=http 2",
		"server.address=_OTHER,url.scheme=https 2",
		"server.address=host0.example,server.port=443,url.scheme=https 2",
	}
	if diff := cmp.Diff(want, counted); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	if got, want := len(series), most-1+3; got != want {
		t.Errorf("%d series, want %d", got, want)
	}
}
