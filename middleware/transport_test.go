package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
)

func ExampleTransport() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not today", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	reader := sdkmetric.NewManualReader()
	client := &http.Client{Transport: middleware.Transport(nil, middleware.Config{
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})}
	defer client.CloseIdleConnections()

	response, err := client.Get(server.URL + "/orders/7?token=secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()

	var data metricdata.ResourceMetrics
	_ = reader.Collect(context.Background(), &data)
	for _, m := range data.ScopeMetrics[0].Metrics {
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
			fmt.Println(m.Name, h.DataPoints[0].Count)
			for _, kv := range h.DataPoints[0].Attributes.ToSlice() {
				if kv.Key != "server.port" { // another one each time
					fmt.Println("  ", kv.Key, "=", kv.Value.String())
				}
			}
		}
	}
	// Output:
	// http.client.request.duration 1
	//    error.type = 503
	//    http.request.method = GET
	//    http.response.status_code = 503
	//    network.protocol.version = 1.1
	//    server.address = 127.0.0.1
	//    url.scheme = http
}

func TestTransportPropagatesTheTrace(t *testing.T) {
	t.Parallel()
	sampled := trace.SpanContextFromContext(clientParent(t.Context(), true))
	unsampled := trace.SpanContextFromContext(clientParent(t.Context(), false))
	tests := map[string]struct {
		parent trace.SpanContext
		spans  string // way of a request through the Transport
		want   string // trace ID, span ID and flags
		count  int    // spans
	}{
		"a root that is sampled":                  {spans: clientSampled, want: "new-new-01", count: 1},
		"a root that is not":                      {spans: clientUnsampled, want: "new-new-00"},
		"a root of another SDK":                   {spans: clientForeign, want: "new-new-01", count: 1},
		"a sampled parent":                        {parent: sampled, spans: clientSampled, want: "parent-new-01", count: 1},
		"a sampled parent, of another SDK":        {parent: sampled, spans: clientForeign, want: "parent-new-01", count: 1},
		"an unsampled parent":                     {parent: unsampled, spans: clientSampled, want: "parent-parent-00"},
		"an unsampled remote parent":              {parent: unsampled.WithRemote(true), spans: clientSampled, want: "parent-parent-00"},
		"an unsampled parent, of another SDK":     {parent: unsampled, spans: clientForeign, want: "parent-new-00"},
		"a sampled parent whose child is dropped": {parent: sampled, spans: "dropping", want: "parent-new-00"},
		"a parent, with traces switched off":      {parent: sampled, spans: "off", want: "parent-parent-01"},
		"a root, with traces switched off":        {spans: "off", want: ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sdks := newClientSDKs()
			sdks["dropping"], sdks["off"] = newClientSDK(), newClientSDK()
			sdks["dropping"].TracerProvider = clientDropping(sdks["dropping"])
			sdks["off"].Disable = middleware.Traces
			sdk := sdks[tt.spans]
			var got http.Header
			url, _ := clientServer(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
			member, err := baggage.NewMember("tenant", "acme")
			if err != nil {
				t.Fatal(err)
			}
			bag, err := baggage.New(member)
			if err != nil {
				t.Fatal(err)
			}
			ctx := baggage.ContextWithBaggage(trace.ContextWithSpanContext(t.Context(), tt.parent), bag)
			clientGet(t, sdk.client(t, nil), ctx, url)
			if diff := cmp.Diff(tt.want, clientDescribe(got.Get("Traceparent"), tt.parent)); diff != "" {
				t.Errorf("traceparent (-want +got):\n%s", diff)
			}
			if got.Get("Baggage") != "tenant=acme" {
				t.Errorf("baggage is %q", got.Get("Baggage"))
			}
			if n := len(sdk.spans.Ended()); n != tt.count {
				t.Errorf("%d spans, want %d", n, tt.count)
			}
			for _, span := range sdk.spans.Ended() {
				if !strings.Contains(got.Get("Traceparent"), span.SpanContext().SpanID().String()) || span.Parent().SpanID() != tt.parent.SpanID() {
					t.Errorf("span %v with parent %v, but traceparent %s", span.SpanContext(), span.Parent(), got.Get("Traceparent"))
				}
			}
		})
	}
}

// clientDropping returns a provider that samples no spans at all, whatever the parent.
func clientDropping(sdk *clientSDK) trace.TracerProvider {
	return clientRawProvider(sdktrace.NeverSample(), sdktrace.WithSpanProcessor(sdk.spans))
}

func TestTransportAsksTheSamplerOnce(t *testing.T) {
	t.Parallel()
	for _, sampler := range []sdktrace.Sampler{sdktrace.AlwaysSample(), sdktrace.NeverSample()} {
		var asked atomic.Int64
		sdk := newClientSDK()
		sdk.TracerProvider = clientRawProvider(clientCounting{sampler, &asked})
		url, _ := clientServer(t, func(http.ResponseWriter, *http.Request) {})
		clientGet(t, sdk.client(t, nil), t.Context(), url)
		if n := asked.Load(); n != 1 {
			t.Errorf("%s was asked %d times", sampler.Description(), n)
		}
	}
}

// clientCounting counts how often the sampler is asked.
type clientCounting struct {
	sdktrace.Sampler
	asked *atomic.Int64
}

func (s clientCounting) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.asked.Add(1)
	return s.Sampler.ShouldSample(p)
}

// clientDescribe says which IDs of a traceparent are the parent's.
func clientDescribe(traceparent string, parent trace.SpanContext) string {
	if traceparent == "" {
		return ""
	}
	parts := strings.Split(traceparent, "-")
	for i, id := range map[int]string{1: parent.TraceID().String(), 2: parent.SpanID().String()} {
		if parts[i] == id {
			parts[i] = "parent"
		} else {
			parts[i] = "new"
		}
	}
	return strings.Join(parts[1:], "-")
}

func clientGet(t *testing.T, client *http.Client, ctx context.Context, url string) { //nolint:revive // tests have t first
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}

func TestTransportFollowsTheGlobals(t *testing.T) { // not parallel: it sets them
	provider, propagator := otel.GetTracerProvider(), otel.GetTextMapPropagator()
	t.Cleanup(func() {
		otel.SetTracerProvider(provider)
		otel.SetTextMapPropagator(propagator)
	})
	// The very first ones are what the first globals go on with.
	otel.SetTracerProvider(noop.NewTracerProvider())
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator())
	var got http.Header
	url, _ := clientServer(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	client := (&clientSDK{}).client(t, nil)
	clientGet(t, client, clientParent(t.Context(), true), url)
	if got.Get("Traceparent") != "" {
		t.Errorf("sent %q without a propagator", got.Get("Traceparent"))
	}
	otel.SetTextMapPropagator(propagation.TraceContext{})
	sdks := newClientSDKs()
	for _, way := range []string{clientSampled, clientForeign, clientSampled} {
		sdk := sdks[way]
		before := len(sdk.spans.Ended())
		otel.SetTracerProvider(sdk.TracerProvider)
		clientGet(t, client, clientParent(t.Context(), true), url)
		if n := len(sdk.spans.Ended()) - before; n != 1 {
			t.Errorf("%d spans of one request, %s", n, way)
		}
		if got.Get("Traceparent") == "" {
			t.Errorf("no traceparent was sent, %s", way)
		}
	}
}

func TestTransportsInsideOthersCountOnce(t *testing.T) {
	t.Parallel()
	for way, sdk := range newClientSDKs() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			url, _ := clientServer(t, func(http.ResponseWriter, *http.Request) {})
			inner := middleware.Transport(&http.Transport{}, sdk.Config)
			client := sdk.client(t, inner)
			clientGet(t, client, t.Context(), url)
			for _, count := range sdk.histogram(t, telemetry.ClientDuration) {
				if count != "1" {
					t.Errorf("%s records of one request", count)
				}
			}
			if n := len(sdk.spans.Ended()); n > 1 {
				t.Errorf("%d spans of one request", n)
			}
			// A request that comes after it is another one, also with the same context.
			clientGet(t, client, t.Context(), url)
			for _, count := range sdk.histogram(t, telemetry.ClientDuration) {
				if count != "2" {
					t.Errorf("%s records of two requests", count)
				}
			}
		})
	}
}

func TestTransportResponseIsOfTheOriginalRequest(t *testing.T) {
	t.Parallel()
	for way, sdk := range newClientSDKs() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			url, _ := clientServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "?page=2") })
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/list?page=1", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := sdk.client(t, nil).Transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.Request != r {
				t.Errorf("the response is of %v", response.Request.URL)
			}
		})
	}
}

func TestTransportDisable(t *testing.T) {
	t.Parallel()
	all := []string{telemetry.ClientDuration, telemetry.ClientRequestBodySize, telemetry.ClientResponseBodySize}
	tests := map[string]struct {
		disable middleware.Part
		want    []string
	}{
		"nothing":        {want: all},
		"durations":      {disable: middleware.Duration, want: all[1:]},
		"request sizes":  {disable: middleware.RequestBodySize, want: []string{all[0], all[2]}},
		"response sizes": {disable: middleware.ResponseBodySize, want: all[:2]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sdk := newClientSDK()
			sdk.Disable = tt.disable
			url, _ := clientServer(t, func(http.ResponseWriter, *http.Request) {})
			response, err := sdk.client(t, nil).Post(url, "text/plain", strings.NewReader("text"))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			var got []string
			for _, metric := range all {
				if len(sdk.histogram(t, metric)) > 0 {
					got = append(got, metric)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
		})
	}
}

// The unsampled way must stay well below what otelhttp allocates, and recording must not allocate at all.
func TestTransportAllocations(t *testing.T) { // not parallel: it counts allocations
	sdk := newClientSDK()
	ctx := clientParent(t.Context(), false)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example.com/orders", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	allocations := func(transport http.RoundTripper) float64 {
		return testing.AllocsPerRun(100, func() {
			response, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		})
	}
	bare := allocations(clientStub{})
	ours := allocations(middleware.Transport(clientStub{}, sdk.Config)) - bare
	theirs := allocations(otelhttp.NewTransport(clientStub{}, otelhttp.WithTracerProvider(sdk.TracerProvider),
		otelhttp.WithMeterProvider(sdk.MeterProvider), otelhttp.WithPropagators(propagation.TraceContext{}))) - bare
	if ours > theirs/2 {
		t.Errorf("%v allocations, more than half of otelhttp's %v", ours, theirs)
	}
}
