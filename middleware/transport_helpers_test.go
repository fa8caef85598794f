package middleware_test

import (
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/internal/tracer"
	"github.com/otelmon/toolkit/middleware"
)

// clientProvider returns otelmon's TracerProvider, which samples roots by the sampler.
func clientProvider(root sdktrace.Sampler, options ...sdktrace.TracerProviderOption) *tracer.Provider {
	return clientRawProvider(sdktrace.ParentBased(root), options...)
}

// clientRawProvider is clientProvider with a sampler for all spans.
func clientRawProvider(sampler sdktrace.Sampler, options ...sdktrace.TracerProviderOption) *tracer.Provider {
	return tracer.New(sampler, tracer.Limits{ForcedPerSecond: math.Inf(1)}, options...)
}

// clientSDK is a real SDK in memory.
type clientSDK struct {
	middleware.Config
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
}

// newClientSDK returns one with otelmon's TracerProvider, which samples all roots.
func newClientSDK() *clientSDK {
	s := &clientSDK{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	s.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	s.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	s.TracerProvider = clientProvider(sdktrace.AlwaysSample(), sdktrace.WithSpanProcessor(s.spans))
	return s
}

// The ways that a request goes through a Transport.
const (
	clientSampled   = "sampled"
	clientUnsampled = "not sampled"
	clientForeign   = "by a TracerProvider that is not asked"
)

// newClientSDKs returns one whose requests go each way.
func newClientSDKs() map[string]*clientSDK {
	sampled, unsampled, foreign := newClientSDK(), newClientSDK(), newClientSDK()
	unsampled.TracerProvider = clientProvider(sdktrace.NeverSample(), sdktrace.WithSpanProcessor(unsampled.spans))
	foreign.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(foreign.spans))
	return map[string]*clientSDK{clientSampled: sampled, clientUnsampled: unsampled, clientForeign: foreign}
}

// client returns an http.Client with a Transport around base. A nil base is a new http.Transport.
func (s *clientSDK) client(t testing.TB, base http.RoundTripper) *http.Client {
	t.Helper()
	if base == nil {
		base = &http.Transport{}
	}
	c := &http.Client{Transport: middleware.Transport(base, s.Config)}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// histogram returns the number of records and their sum of each series, by its attributes.
func (s *clientSDK) histogram(t testing.TB, name string) map[string]string {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	series := map[string]string{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch h := m.Data.(type) {
			case metricdata.Histogram[float64]: // of seconds, which are not to be asserted
				for _, p := range h.DataPoints {
					series[p.Attributes.Encoded(attribute.DefaultEncoder())] = fmt.Sprint(p.Count)
				}
			case metricdata.Histogram[int64]:
				for _, p := range h.DataPoints {
					series[p.Attributes.Encoded(attribute.DefaultEncoder())] = fmt.Sprintf("%d of %d bytes", p.Count, p.Sum)
				}
			default:
				t.Fatalf("%s is a %T", name, m.Data)
			}
		}
	}
	return series
}

// clientCount returns the number of records of a series.
func clientCount(t testing.TB, series string) int {
	t.Helper()
	n, err := strconv.Atoi(series)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// clientServer returns a server and the attributes that say it is the one.
func clientServer(t testing.TB, h http.HandlerFunc) (url, attributes string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL, clientAttributes(server.URL)
}

// clientAttributes are those of a server on 127.0.0.1, in the order of names.
func clientAttributes(url string) string {
	var scheme string
	var port int
	if _, err := fmt.Sscanf(url, "http://127.0.0.1:%d", &port); err == nil {
		scheme = "http"
	} else if _, err := fmt.Sscanf(url, "https://127.0.0.1:%d", &port); err == nil {
		scheme = "https"
	}
	return fmt.Sprintf("server.address=127.0.0.1,server.port=%d,url.scheme=%s", port, scheme)
}

// clientBase is a function as http.RoundTripper.
type clientBase func(*http.Request) (*http.Response, error)

func (f clientBase) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var (
	clientServerAttributes = regexp.MustCompile(`(http\.request\.method|server\.address|server\.port|url\.scheme)=[^,]*,?`)
	clientLongNames        = strings.NewReplacer("http.response.status_code", "status", "network.protocol.version", "version")
)

// clientOutcome returns the attributes that tell how a request ended.
func clientOutcome(attributes string) string {
	short := clientLongNames.Replace(clientServerAttributes.ReplaceAllString(attributes, ""))
	return strings.TrimSuffix(short, ",")
}

func clientListen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// clientTLSServer returns a quiet server with TLS.
func clientTLSServer(t testing.TB, configure func(*httptest.Server), h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if configure != nil {
		configure(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}
