package llm_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/llm/price"
)

// testSDK is a real SDK in memory.
type testSDK struct {
	llm.Config
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
}

func newSDK() *testSDK {
	s := &testSDK{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	s.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	s.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s.spans))
	s.Providers = map[string]string{"127.0.0.1": "deepseek"}
	return s
}

// testBook has round prices, all different.
func testBook(t testing.TB) *price.Book {
	t.Helper()
	return bookOf(t, "input: 1, cached_input: 0.1, cache_write: 1.25, output: 4, reasoning: 5")
}

// bookOf has the one model with these prices.
func bookOf(t testing.TB, prices string) *price.Book {
	t.Helper()
	book, err := price.Parse([]byte("models: [{provider: deepseek, name: deepseek-flash, currency: USD, prices: [{from: 2000-01-01, " + prices + "}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// serve returns the URL of an upstream that gives the answers.
func serve(t testing.TB, next func(fakellm.Request) fakellm.Answer) (*fakellm.Upstream, string) {
	t.Helper()
	upstream := fakellm.New(next)
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	return upstream, server.URL
}

// client returns one whose calls are measured.
func (s *testSDK) client(t testing.TB) *http.Client {
	t.Helper()
	base := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: llm.Transport(base, s.Config)}
}

func chatBody(model string, stream bool) string {
	return fmt.Sprintf(`{"messages":[{"role":"user","content":"What is the capital of France?"}],"model":%q,"stream":%t}`, model, stream)
}

// post returns the body of the answer, as far as it could be read.
func post(t testing.TB, client *http.Client, url, body string, headers ...string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	content, _ := io.ReadAll(response.Body)
	return string(content)
}

// sums returns the values of a metric by the given attributes, as "a,b".
func (s *testSDK) sums(t testing.TB, name string, by ...attribute.Key) map[string]float64 {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == name {
				addPoints(m.Data, sums, by)
			}
		}
	}
	return sums
}

// addPoints adds counters by their value and histograms by their count.
func addPoints(data metricdata.Aggregation, sums map[string]float64, by []attribute.Key) {
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			sums[keyOf(p.Attributes, by)] += float64(p.Value)
		}
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			sums[keyOf(p.Attributes, by)] += p.Value
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			sums[keyOf(p.Attributes, by)] += float64(p.Count)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			sums[keyOf(p.Attributes, by)] += float64(p.Sum)
		}
	}
}

func keyOf(attributes attribute.Set, by []attribute.Key) string {
	var parts []string
	for _, key := range by {
		value, _ := attributes.Value(key)
		parts = append(parts, value.String())
	}
	return strings.Join(parts, ",")
}

// seen is what telemetry tells of the one call that was made.
type seen struct{ Outcome, ErrorType, Missing, Wasted, Status string }

// seen fails the test unless there was exactly one call, which has ended.
func (s *testSDK) seen(t testing.TB) seen {
	t.Helper()
	if active := s.sums(t, telemetry.LLMActiveRequests)[""]; active != 0 {
		t.Errorf("%v calls are active", active)
	}
	if calls := s.sums(t, telemetry.LLMAttempts)[""]; calls != 1 {
		t.Errorf("%v calls were counted", calls)
	}
	result := seen{
		Outcome:   only(t, s.sums(t, telemetry.LLMAttempts, telemetry.LLMOutcome)),
		ErrorType: only(t, s.sums(t, telemetry.GenAIOperationDuration, telemetry.ErrorType)),
		Missing:   only(t, s.sums(t, telemetry.LLMUsageMissing, telemetry.LLMReason)),
		Wasted:    only(t, s.sums(t, telemetry.LLMWastedTokens, telemetry.LLMReason)),
	}
	spans := s.spans.Ended()
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	if status := spans[0].Status(); status.Code == codes.Error {
		result.Status = ports.ReplaceAllString(status.Description, "")
	}
	return result
}

var ports = regexp.MustCompile(`127\.0\.0\.1:\d+`) //nolint:gochecknoglobals // a constant

// only returns the one key, and nothing if there is none.
func only(t testing.TB, sums map[string]float64) string {
	t.Helper()
	if len(sums) > 1 {
		t.Errorf("more than one series: %v", sums)
	}
	for key := range sums {
		return key
	}
	return ""
}

// roundTripper is a function that answers requests.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// over returns a client whose calls go to base.
func (s *testSDK) over(base http.RoundTripper) *http.Client {
	return &http.Client{Transport: llm.Transport(base, s.Config)}
}

// answering returns what answers with the body, as status 200 of the type.
func answering(contentType string, body io.Reader) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return &http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Request: r,
			Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(body),
		}, nil
	}
}
