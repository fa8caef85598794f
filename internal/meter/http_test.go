package meter_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/meter"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// series returns the attributes of each series that the reader has, by name of the metric, in order.
func series(t testing.TB, reader sdkmetric.Reader) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for name, m := range collect(t, reader) {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			found[name] = sets(data.DataPoints)
		case metricdata.Sum[float64]:
			found[name] = sets(data.DataPoints)
		case metricdata.Gauge[int64]:
			found[name] = sets(data.DataPoints)
		case metricdata.Gauge[float64]:
			found[name] = sets(data.DataPoints)
		case metricdata.Histogram[int64]:
			found[name] = histogramSets(data.DataPoints)
		case metricdata.Histogram[float64]:
			found[name] = histogramSets(data.DataPoints)
		default:
			t.Fatalf("%s: got %T", name, data)
		}
		slices.Sort(found[name])
	}
	return found
}

func sets[N int64 | float64](points []metricdata.DataPoint[N]) (all []string) {
	for _, p := range points {
		all = append(all, p.Attributes.Encoded(attribute.DefaultEncoder()))
	}
	return all
}

func histogramSets[N int64 | float64](points []metricdata.HistogramDataPoint[N]) (all []string) {
	for _, p := range points {
		all = append(all, p.Attributes.Encoded(attribute.DefaultEncoder()))
	}
	return all
}

// middleware stands in for the toolkit's: it records the three metrics that otelhttp's handler has as well.
func middleware(t testing.TB, p *meter.Provider) func() {
	t.Helper()
	m := p.Meter(telemetry.MiddlewareScope)
	duration, err := m.Float64Histogram(telemetry.ServerDuration, metric.WithUnit("s"))
	check(t, err)
	request, err := m.Int64Histogram(telemetry.ServerRequestBodySize, metric.WithUnit("By"))
	check(t, err)
	response, err := m.Int64Histogram(telemetry.ServerResponseBodySize, metric.WithUnit("By"))
	check(t, err)
	return func() {
		route := metric.WithAttributes(telemetry.HTTPRoute.String("/own"))
		duration.Record(t.Context(), 0.1, route)
		request.Record(t.Context(), 1, route)
		response.Record(t.Context(), 1, route)
	}
}

// otelhttpHandler returns a function that sends requests with many hosts to one of otelhttp's handlers.
func otelhttpHandler(t testing.TB, p *meter.Provider) func() {
	t.Helper()
	h := otelhttp.NewHandler(ok(), "op", otelhttp.WithMeterProvider(p))
	return func() {
		for i := range 50 {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://host-%d.example:%d/", i, 1000+i), nil)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
}

func ok() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
}

// withTwoReaders sets an SDK with two readers.
func withTwoReaders(t testing.TB, p *meter.Provider) []sdkmetric.Reader {
	t.Helper()
	readers := []sdkmetric.Reader{sdkmetric.NewManualReader(), sdkmetric.NewManualReader()}
	p.Set(newSDK(t, meter.Rules{}, readers...), meter.Rules{})
	return readers
}

const otelhttpSeries = "http.request.method=GET,http.response.status_code=200,network.protocol.name=http,network.protocol.version=1.1,url.scheme=http"

func TestNoOrderOfCreationLetsTheHostHeaderMakeSeries(t *testing.T) {
	t.Parallel()
	both := []string{otelhttpSeries, "http.route=/own"}
	type maker func(testing.TB, *meter.Provider) func()
	tests := map[string]struct {
		before []maker // the first Set
		after  []maker
		want   []string
	}{
		"the middleware, then otelhttp":                {nil, []maker{middleware, otelhttpHandler}, both},
		"otelhttp, then the middleware":                {nil, []maker{otelhttpHandler, middleware}, both},
		"the middleware, then otelhttp, before Set":    {[]maker{middleware, otelhttpHandler}, nil, both},
		"otelhttp, then the middleware, before Set":    {[]maker{otelhttpHandler, middleware}, nil, both},
		"the middleware before Set, otelhttp after it": {[]maker{middleware}, []maker{otelhttpHandler}, both},
		"otelhttp before Set, the middleware after it": {[]maker{otelhttpHandler}, []maker{middleware}, both},
		"the middleware between two of otelhttp's":     {nil, []maker{otelhttpHandler, middleware, otelhttpHandler}, both},
		"otelhttp without the middleware":              {nil, []maker{otelhttpHandler}, []string{otelhttpSeries}},
		"the middleware without otelhttp":              {nil, []maker{middleware}, []string{"http.route=/own"}},
		"otelhttp between two of the middleware's":     {nil, []maker{middleware, otelhttpHandler, middleware}, both},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := meter.NewProvider()
			var use []func()
			for _, m := range tt.before {
				use = append(use, m(t, p))
			}
			readers := withTwoReaders(t, p)
			for _, m := range tt.after {
				use = append(use, m(t, p))
			}
			want := map[string][]string{}
			for _, name := range []string{telemetry.ServerDuration, telemetry.ServerRequestBodySize, telemetry.ServerResponseBodySize} {
				want[name] = tt.want
			}
			for range 2 { // the same after another Set
				for _, f := range use {
					f()
				}
				for _, reader := range readers {
					if diff := cmp.Diff(want, series(t, reader)); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
				readers = withTwoReaders(t, p)
			}
		})
	}
}

// rawAttributes are attributes that the API leaves to the SDK.
type rawAttributes struct {
	metric.MeasurementOption
	attributes []attribute.KeyValue
}

func (rawAttributes) Experimental() {}

func (r rawAttributes) RawAttributes() []attribute.KeyValue { return r.attributes }

func TestNoKindOfServerInstrumentTakesTheHost(t *testing.T) {
	t.Parallel()
	own := metric.WithAttributes(telemetry.HTTPRoute.String("/own"))
	other := []attribute.KeyValue{
		telemetry.HTTPRoute.String("/other"), telemetry.ServerAddress.String("x.example"), telemetry.ServerPort.Int(1),
	}
	scopes := [][]string{{telemetry.MiddlewareScope, "other"}, {"other", telemetry.MiddlewareScope}}
	options := map[string]metric.MeasurementOption{
		"attributes":     metric.WithAttributes(other...),
		"raw attributes": rawAttributes{attributes: other},
	}
	for given, host := range options {
		for _, order := range scopes {
			t.Run(given+", first "+order[0], func(t *testing.T) {
				t.Parallel()
				p := meter.NewProvider()
				readers := withTwoReaders(t, p)
				value := int64(1)
				var record []func(int64)
				for _, scope := range order {
					with := host
					if scope == telemetry.MiddlewareScope {
						with = own
					}
					record = append(record, allKindsOf(t, p.Meter(scope), "HTTP.server.", &value, with))
				}
				for range 2 { // the same after another Set
					for _, f := range record {
						f(1)
					}
					for _, reader := range readers {
						checkKinds(t, series(t, reader), order[0] == telemetry.MiddlewareScope)
					}
					readers = withTwoReaders(t, p)
				}
			})
		}
	}
}

// checkKinds expects the attributes of both scopes without the host, and in observable counters those of the first scope.
func checkKinds(t *testing.T, got map[string][]string, middlewareFirst bool) {
	t.Helper()
	if len(got) != len(allValues(0)) {
		t.Errorf("got %d metrics, want %d", len(got), len(allValues(0)))
	}
	for name, attributes := range got {
		want := []string{"http.route=/other", "http.route=/own"}
		switch {
		case !strings.Contains(name, "observable") || strings.HasSuffix(name, "gauge"):
		case middlewareFirst:
			want = want[1:]
		default:
			want = want[:1]
		}
		if diff := cmp.Diff(want, attributes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOnlyObservablesAreFilteredByTheSDK(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scope string
		kind  sdkmetric.InstrumentKind
		want  bool
	}{
		"the middleware's histogram":          {telemetry.MiddlewareScope, sdkmetric.InstrumentKindHistogram, false},
		"the middleware's up-down counter":    {telemetry.MiddlewareScope, sdkmetric.InstrumentKindUpDownCounter, false},
		"the middleware's observable counter": {telemetry.MiddlewareScope, sdkmetric.InstrumentKindObservableCounter, true},
		"another scope's histogram":           {"other", sdkmetric.InstrumentKindHistogram, false},
		"another scope's observable gauge":    {"other", sdkmetric.InstrumentKindObservableGauge, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			instrument := sdkmetric.Instrument{Name: telemetry.ServerDuration, Kind: tt.kind}
			instrument.Scope.Name = tt.scope
			stream, _ := meter.Views(meter.Rules{})[0](instrument)
			if got := stream.AttributeFilter != nil; got != tt.want {
				t.Errorf("got a filter: %t, want %t", got, tt.want)
			}
		})
	}
}

type someKey struct{}

// inside returns a context of a request that the middleware measures.
func inside(ctx context.Context, kind trace.SpanKind) context.Context {
	return context.WithValue(&headsample.Context{Context: ctx, Kind: kind}, someKey{}, "as other middleware adds")
}

// serve has one of otelhttp's handlers serve a request.
func serve(ctx context.Context, p *meter.Provider) {
	h := otelhttp.NewHandler(ok(), "op", otelhttp.WithMeterProvider(p))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
}

// answers is a transport that needs no server.
type answers struct{}

func (answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

// send sends a request by otelhttp's transport.
func send(ctx context.Context, t *testing.T, p *meter.Provider) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://peer.example/", nil)
	check(t, err)
	response, err := otelhttp.NewTransport(answers{}, otelhttp.WithMeterProvider(p)).RoundTrip(r)
	check(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	check(t, err)
	check(t, response.Body.Close())
}

func TestOtelhttpCountsNothingTwice(t *testing.T) {
	t.Parallel()
	server := []string{telemetry.ServerRequestBodySize, telemetry.ServerDuration, telemetry.ServerResponseBodySize}
	client := []string{telemetry.ClientRequestBodySize, telemetry.ClientDuration}
	tests := map[string]struct {
		inside  []trace.SpanKind
		serving bool // a request is served, not sent
		want    []string
	}{
		"a served request outside of the middleware":                     {nil, true, server},
		"a served request inside of the middleware":                      {[]trace.SpanKind{trace.SpanKindServer}, true, nil},
		"a served request inside of a client's request only":             {[]trace.SpanKind{trace.SpanKindClient}, true, server},
		"a sent request outside of the middleware":                       {nil, false, client},
		"a sent request inside of the client middleware":                 {[]trace.SpanKind{trace.SpanKindClient}, false, nil},
		"a sent request inside of a measured server request":             {[]trace.SpanKind{trace.SpanKindServer}, false, client},
		"a sent request that both the server's and the client's measure": {[]trace.SpanKind{trace.SpanKindServer, trace.SpanKindClient}, false, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := meter.NewProvider()
			ctx := t.Context()
			for _, kind := range tt.inside {
				ctx = inside(ctx, kind)
			}
			use := func() { serve(ctx, p) }
			if !tt.serving {
				use = func() { send(ctx, t, p) }
			}
			for range 2 { // the same after another Set
				readers := withTwoReaders(t, p)
				use()
				for _, reader := range readers {
					got := slices.Sorted(maps.Keys(collect(t, reader)))
					if diff := cmp.Diff(tt.want, got); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
			}
		})
	}
}

func TestOnlyOtelhttpsHTTPMetricsAreLeftOutInsideTheMiddleware(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scope, name string
		want        bool
	}{
		"otelhttp's server metric":                 {otelhttp.ScopeName, "HTTP.Server.x", false},
		"otelhttp's client metric":                 {otelhttp.ScopeName, "http.client.x", false},
		"another metric of otelhttp":               {otelhttp.ScopeName, "http.x", true},
		"the middleware's server metric":           {telemetry.MiddlewareScope, "http.server.x", true},
		"a server metric of someone else":          {"other", "http.server.x", true},
		"a client metric of someone else":          {"other", "http.client.x", true},
		"a scope that only starts like otelhttp's": {otelhttp.ScopeName + "/x", "http.server.x", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := trace.SpanKindServer
			if strings.HasPrefix(tt.name, "http.client.") {
				kind = trace.SpanKindClient
			}
			ctx := inside(t.Context(), kind)
			p := meter.NewProvider()
			readers := withTwoReaders(t, p)
			c, err := p.Meter(tt.scope).Int64Counter(tt.name)
			check(t, err)
			h, err := p.Meter(tt.scope).Float64Histogram(tt.name + ".h")
			check(t, err)
			c.Add(ctx, 1)
			h.Record(ctx, 1)
			if len(collect(t, readers[0])) > 0 != tt.want || c.Enabled(ctx) != tt.want || h.Enabled(ctx) != tt.want {
				t.Errorf("got %v, enabled %t and %t, want recorded and enabled: %t",
					sums(t, readers[0]), c.Enabled(ctx), h.Enabled(ctx), tt.want)
			}
			if !c.Enabled(t.Context()) || !h.Enabled(t.Context()) {
				t.Error("got disabled outside of the middleware")
			}
		})
	}
}
