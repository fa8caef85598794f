package middleware_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/propagation"

	"github.com/otelmon/toolkit/middleware"
)

const (
	clientForgedTrace = "00-11111111111111111111111111111111-2222222222222222-01"
	clientForgedState = "ot=rv:00000000000000"
)

// clientForgedHeaders are what somebody outside sends to a reverse proxy.
func clientForgedHeaders() http.Header {
	return http.Header{"Traceparent": {clientForgedTrace}, "Tracestate": {clientForgedState}, "Baggage": {"tenant=acme"}}
}

// clientTraceHeaders returns whose traceparent it is, and the other headers of the trace.
func clientTraceHeaders(h http.Header) string {
	parent := h.Get("Traceparent")
	switch parts := strings.Split(parent, "-"); {
	case parent == clientForgedTrace:
		parent = "as it came"
	case len(parts) != 4:
	case parts[1] == strings.Split(clientForgedTrace, "-")[1]:
		parent = "a child"
	default:
		parent = "new"
	}
	return fmt.Sprintf("%q %q %q", parent, h.Values("Tracestate"), h.Values("Baggage"))
}

func TestTransportOfAReverseProxySendsItsOwnTraceHeaders(t *testing.T) {
	t.Parallel()
	const none, fresh = `"" [] []`, `"new" [] []`
	const child, same = `"a child" ["` + clientForgedState + `"] ["tenant=acme"]`, `"as it came" ["` + clientForgedState + `"] ["tenant=acme"]`
	public := func(next http.Handler, cfg middleware.Config) http.Handler {
		cfg.Public = true
		return middleware.Handler(next, cfg)
	}
	bare := func(next http.Handler, _ middleware.Config) http.Handler { return next }
	tests := map[string]struct {
		around  func(http.Handler, middleware.Config) http.Handler
		allowed []string
		disable middleware.Part
		want    string
	}{
		"a host that is not in the list":                   {around: middleware.Handler, allowed: []string{"example.com"}, want: none},
		"no hosts":                                         {around: middleware.Handler, allowed: []string{}, want: none},
		"no hosts, at the edge":                            {around: public, allowed: []string{}, want: none},
		"no hosts, without a Handler":                      {around: bare, allowed: []string{}, want: none},
		"no hosts, without a Handler and traces":           {around: bare, allowed: []string{}, disable: middleware.Traces, want: none},
		"a host in the list":                               {around: middleware.Handler, allowed: []string{"127.0.0.1"}, want: child},
		"a host in the list, at the edge":                  {around: public, allowed: []string{"127.0.0.1"}, want: fresh},
		"a host in the list, at the edge and not traced":   {around: public, allowed: []string{"127.0.0.1"}, disable: middleware.Traces, want: fresh},
		"a host in the list, without a Handler":            {around: bare, allowed: []string{"127.0.0.1"}, want: fresh},
		"all hosts":                                        {around: middleware.Handler, want: child},
		"all hosts, at the edge":                           {around: public, want: fresh},
		"all hosts, without a Handler":                     {around: bare, want: fresh},
		"all hosts, without a Handler and nothing to tell": {around: bare, disable: middleware.Traces, want: same},
	}
	for name, tt := range tests {
		for way, sdk := range newClientSDKs() {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				var got http.Header
				backend, _ := clientServer(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
				target, err := url.Parse(backend)
				if err != nil {
					t.Fatal(err)
				}
				cfg := sdk.Config
				cfg.PropagateTo, cfg.Disable = tt.allowed, tt.disable
				base := &http.Transport{}
				t.Cleanup(base.CloseIdleConnections)
				proxy := &httputil.ReverseProxy{
					Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
					Transport: middleware.Transport(base, cfg),
				}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://proxy.example/", http.NoBody)
				r.Header = clientForgedHeaders()
				w := httptest.NewRecorder()
				tt.around(proxy, cfg).ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					t.Fatalf("the proxy answers %d", w.Code)
				}
				if diff := cmp.Diff(tt.want, clientTraceHeaders(got)); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(clientForgedHeaders(), r.Header); diff != "" {
					t.Errorf("headers of the original (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// clientSent returns the headers of a request that came with others.
func clientSent(t *testing.T, cfg middleware.Config, came http.Header) http.Header {
	t.Helper()
	var sent http.Header
	transport := middleware.Transport(clientBase(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return &http.Response{StatusCode: http.StatusOK}, nil
	}), cfg)
	r := (&http.Request{URL: &url.URL{Scheme: "http", Host: "api.example.com"}, Header: came}).WithContext(t.Context())
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return sent
}

func TestTransportOwnsTheHeadersOfThePropagator(t *testing.T) {
	t.Parallel()
	b3, err := autoprop.TextMapPropagator("b3")
	if err != nil {
		t.Fatal(err)
	}
	w3c := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	none := propagation.NewCompositeTextMapPropagator()
	came := func() http.Header {
		h := clientForgedHeaders()
		h["B3"], h["traceparent"], h["b3"] = []string{"0"}, []string{clientForgedTrace}, []string{"0"}
		for _, name := range []string{"X-B3-TraceId", "Uber-Trace-Id", "uberctx-a", "X-Amzn-Trace-Id", "ot-tracer-traceid", "Ot-Baggage-A"} {
			h.Set(name, "0")
		}
		h["Accept"] = []string{"*/*"}
		return h
	}
	tests := map[string]struct {
		propagator propagation.TextMapPropagator
		allowed    []string
		want       []string // names of headers
		kept       bool     // the traceparent of the caller
	}{
		"those of the W3C":                  {propagator: w3c, want: []string{"Accept", "Traceparent"}},
		"those of another":                  {propagator: b3, want: []string{"Accept", "B3"}},
		"those of another, not to the host": {propagator: b3, allowed: []string{}, want: []string{"Accept"}},
		"without propagator":                {propagator: none, want: slices.Sorted(maps.Keys(came())), kept: true},
		"without any, not to the host":      {propagator: none, allowed: []string{}, want: []string{"Accept"}},
	}
	for name, tt := range tests {
		for way, sdk := range newClientSDKs() {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				sdk.Propagator, sdk.PropagateTo = tt.propagator, tt.allowed
				got := clientSent(t, sdk.Config, came())
				if diff := cmp.Diff(tt.want, slices.Sorted(maps.Keys(got))); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
				if kept := got.Get("Traceparent") == clientForgedTrace; kept != tt.kept {
					t.Errorf("traceparent is %q", got.Get("Traceparent"))
				}
				if got.Get("B3") == "0" && slices.Contains(tt.propagator.Fields(), "b3") {
					t.Error("the caller's b3 was sent")
				}
			})
		}
	}
}

func TestTransportCopiesNoHeadersWithoutNeed(t *testing.T) {
	t.Parallel()
	for way, sdk := range newClientSDKs() {
		sdk.PropagateTo = []string{}
		came := http.Header{"Accept": {"*/*"}}
		if reflect.ValueOf(clientSent(t, sdk.Config, came)).Pointer() != reflect.ValueOf(came).Pointer() {
			t.Errorf("copied headers that are to stay, %s", way)
		}
	}
}

// clientLate is a propagator that gets its fields late, as the global one may.
type clientLate struct {
	now atomic.Pointer[propagation.TextMapPropagator]
}

func (p *clientLate) set(now propagation.TextMapPropagator) *clientLate {
	p.now.Store(&now)
	return p
}

func (p *clientLate) Fields() []string { return (*p.now.Load()).Fields() }

func (p *clientLate) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	(*p.now.Load()).Inject(ctx, c)
}

func (p *clientLate) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	return (*p.now.Load()).Extract(ctx, c)
}

func TestTransportNoticesAPropagatorThatIsSetLate(t *testing.T) {
	t.Parallel()
	late := (&clientLate{}).set(propagation.NewCompositeTextMapPropagator())
	sdk := newClientSDK()
	sdk.Propagator = late
	var sent http.Header
	client := sdk.client(t, clientBase(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return &http.Response{StatusCode: http.StatusOK}, nil
	}))
	get := func() string {
		r := &http.Request{URL: &url.URL{Scheme: "http", Host: "api.example.com"}, Header: clientForgedHeaders()}
		response, err := client.Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return clientTraceHeaders(sent)
	}
	if got, want := get(), `"as it came" ["`+clientForgedState+`"] ["tenant=acme"]`; got != want {
		t.Errorf("sent %s without fields, want %s", got, want)
	}
	late.set(propagation.TraceContext{})
	if got, want := get(), `"new" [] []`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}
