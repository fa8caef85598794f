package e2e_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/e2e/harness"
)

// secrets are attributes as senders other than otelmon set them, and what leaves
// the Collector; an attribute that is to be removed has no value left.
var secrets = map[string]struct{ key, value, want string }{
	"a header with a password":          {"http.request.header.authorization", "Basic dXNlcjpwYXNzd29yZA==", "****"},
	"a header without a scheme":         {"http.request.header.x-api-key", "abc", "****"},
	"a cookie":                          {"http.response.header.set-cookie", "session=1", "****"},
	"an API key of one's own":           {"myapp.api_key", "abc", "****"},
	"a password":                        {"db.password", "abc", "****"},
	"an OAuth secret":                   {"oauth.client_secret", "abc", "****"},
	"a session token":                   {"auth.session_token", "abc", "****"},
	"a bearer token in a text":          {"message", "sent Authorization: Bearer abcdefghijklmnop1234 to it", "sent Authorization: **** to it"},
	"a JSON Web Token":                  {"message", "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P refused", "token **** refused"},
	"the key of an LLM vendor":          {"error.message", "Incorrect API key provided: sk-proj-abcdefghijklmnopqrst", "Incorrect API key provided: ****"},
	"the key of a Google API":           {"message", "AIza" + "SyA1234567890abcdefghijklmnopqrstuv", "****"},
	"the key of a cloud account":        {"message", "AKIA" + "ABCDEFGHIJKLMNOP", "****"},
	"a private key":                     {"message", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END", "****-----END"},
	"a query in a URL":                  {"url.full", "https://maps.example/api?key=AIza&sig=1", "https://maps.example/api?REDACTED"},
	"a user in a URL":                   {"url.full", "https://user:pass@example.com/a", "https://example.com/a"},
	"a query by itself":                 {"url.query", "key=1&sig=2", ""},
	"a query under an old name":         {"http.url", "https://maps.example/api?key=1", "https://maps.example/api?REDACTED"},
	"a query in the target of old name": {"http.target", "/api?key=1", "/api?REDACTED"},
	"an address by a pattern of ours":   {"message", "mail from jane.doe@example.com", "mail from ****"},
}

// harmless are attributes of otelmon and of the conventions whose names or values
// resemble those of secrets.
var harmless = map[string]string{
	"gen_ai.provider.name": "deepseek", "gen_ai.request.model": "sk-1", "gen_ai.token.type": "input", "gen_ai.usage.input_tokens": "12",
	"gen_ai.response.id": "chatcmpl-9c1f0b3aa7de4f34b2c8a6b7d0e1f234", "otelmon.llm.token.class": "cached", "otelmon.llm.outcome": "success",
	"otelmon.llm.reason": "retry", "otelmon.llm.cost.currency": "USD", "otelmon.sampling.rescued": "true", "otelmon.metrics.path": "otlp",
	"http.request.method": "GET", "http.route": "/products/{id}", "url.path": "/oauth/token", "url.full": "https://api.deepseek.com/v1/chat/completions",
	"url.scheme": "https", "server.address": "api.deepseek.com", "error.type": "timeout", "user_agent.original": "curl/8.5.0 (basic)",
	"exception.message": "authorization failed: bearer token expired", "exception.stacktrace": "main.main()\n\t/src/main.go:12 +0x1d",
	"session.id": "5f2c", "messaging.message.id": "452a7c7c7c7048c2f887f61572b18fc2", "db.query.text": "SELECT password FROM users WHERE id = ?",
	"task-force": "risk-assessment-of-many-words",
}

func TestCollectorRedacts(t *testing.T) {
	sink, backend := harness.StartTraceSink(t), startHTTPSink(t)
	collector := harness.NewCollector(t, t.TempDir(), sink, backend.address)
	collector.Option(t, "deploy/collector/loki.yaml", map[string]string{"http://loki:3100": "http://" + backend.address})
	collector.Env("OTELMON_COLLECTOR_REDACT=" + emailPattern(t))
	collector.Start(t)
	conn := dialCollector(t, collector)

	for title, secret := range secrets {
		attributes := keyValues(map[string]string{secret.key: secret.value})
		sendSpan(t, conn, title, attributes, attributes)
		sendLog(t, conn, title, attributes, secret.value)
	}
	sendSpan(t, conn, "harmless", keyValues(harmless), keyValues(harmless))
	sendLog(t, conn, "harmless", keyValues(harmless), "basic authorization of bearer tokens?")

	for title, secret := range secrets {
		want := map[string]string{secret.key: secret.want}
		if secret.want == "" {
			want = map[string]string{}
		}
		span, record := waitSpan(t, sink, title), backend.waitLog(t, title)
		if diff := cmp.Diff(want, span.Attributes); diff != "" {
			t.Errorf("%s: attributes of the span (-want +got):\n%s", title, diff)
		}
		if diff := cmp.Diff(want, attributesOf(record.GetAttributes())); diff != "" {
			t.Errorf("%s: attributes of the log record (-want +got):\n%s", title, diff)
		}
		// Other places have no key that a rule for URLs could go by.
		if secret.key == "message" || secret.key == "error.message" {
			if got := span.Events[0]; got[secret.key] != secret.want {
				t.Errorf("%s: got event %q, want %q", title, got, secret.want)
			}
			if got := record.GetBody().GetStringValue(); got != secret.want {
				t.Errorf("%s: got body %q, want %q", title, got, secret.want)
			}
		}
	}
	span, record := waitSpan(t, sink, "harmless"), backend.waitLog(t, "harmless")
	for place, got := range map[string]map[string]string{"span": span.Attributes, "event": span.Events[0], "log record": attributesOf(record.GetAttributes())} {
		if diff := cmp.Diff(harmless, got); diff != "" {
			t.Errorf("%s without secrets (-want +got):\n%s", place, diff)
		}
	}
	if got := record.GetBody().GetStringValue(); got != "basic authorization of bearer tokens?" {
		t.Errorf("got body %q", got)
	}
}

// Only services without otelmon get metrics made of their spans, with few labels
// and under names of their own.
func TestCollectorMakesSpanMetrics(t *testing.T) {
	t.Parallel() // it waits for most of its time
	sink, backend := harness.StartTraceSink(t), startHTTPSink(t)
	collector := harness.NewCollector(t, t.TempDir(), sink, backend.address)
	collector.Start(t)
	conn := dialCollector(t, collector)
	request := map[string]string{"http.route": "/a", "http.request.method": "GET", "client.address": "192.0.2.1", "url.path": "/a/1"}
	sendSpan(t, conn, "other", keyValues(request), nil)
	sendSpan(t, conn, "with otelmon", keyValues(request), nil, "telemetry.distro.name", "otelmon")

	// Series begin with 0, so that Prometheus sees the first call as an increase.
	backend.waitMetric(t, "traces_span_metrics.calls", func(m *metrics.Metric) error { return callsAre(m, 0) })
	backend.waitMetric(t, "traces_span_metrics.calls", func(m *metrics.Metric) error { return callsAre(m, 1) })
	backend.waitMetric(t, "traces_span_metrics.duration", func(m *metrics.Metric) error {
		if m.GetUnit() != "s" {
			return fmt.Errorf("got durations in %q, want s", m.GetUnit())
		}
		return nil
	})
}

// callsAre returns an error unless there is one series, of the service without
// otelmon, and it counts calls.
func callsAre(m *metrics.Metric, calls int64) error {
	points := m.GetSum().GetDataPoints()
	if len(points) != 1 || points[0].GetAsInt() != calls {
		return fmt.Errorf("got %v, want one series with %d calls", points, calls)
	}
	got := attributesOf(points[0].GetAttributes())
	if got["collector.instance.id"] == "" {
		return errors.New("series of several Collectors would be the same: no collector.instance.id")
	}
	delete(got, "collector.instance.id")
	want := map[string]string{
		"service.name": "other", "span.name": "work", "span.kind": "SPAN_KIND_SERVER", "status.code": "STATUS_CODE_UNSET",
		"http.route": "/a", "http.request.method": "GET",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("labels (-want +got):\n%s", diff)
	}
	return nil
}

func TestCollectorMeasuresTheHost(t *testing.T) {
	t.Parallel()
	backend := startHTTPSink(t)
	collector := harness.NewCollector(t, t.TempDir(), harness.StartTraceSink(t), backend.address)
	collector.Option(t, "deploy/collector/host-metrics.yaml", map[string]string{"collection_interval: 15s": "collection_interval: 1s"}, "OTELMON_HOST_NAME=here")
	collector.Start(t)
	for _, name := range []string{"system.cpu.time", "system.memory.usage", "system.filesystem.usage", "system.network.io", "system.cpu.load_average.1m"} {
		backend.waitMetric(t, name, func(*metrics.Metric) error { return nil })
	}
}

// emailPattern is the pattern for e-mail addresses that docs/collector.md gives.
func emailPattern(t *testing.T) string {
	t.Helper()
	const name = "OTELMON_COLLECTOR_REDACT="
	_, after, found := strings.Cut(readFile(t, "docs/collector.md"), name)
	if !found {
		t.Fatal("docs/collector.md has no example of a pattern")
	}
	pattern, _, _ := strings.Cut(after, "\n")
	return strings.Trim(pattern, "'`")
}

func dialCollector(t *testing.T, collector *harness.Collector) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(collector.OTLPEndpoint, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// sendSpan sends a span with attributes and an event with some, of a service with
// more resource attributes.
func sendSpan(t *testing.T, conn *grpc.ClientConn, service string, attributes, event []*common.KeyValue, more ...string) {
	t.Helper()
	of := map[string]string{"service.name": service}
	for i := 0; i < len(more); i += 2 {
		of[more[i]] = more[i+1]
	}
	span := &trace.Span{
		TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Name: "work", Kind: trace.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: 1, EndTimeUnixNano: 2, Attributes: attributes, Events: []*trace.Span_Event{{Name: "event", Attributes: event}},
	}
	_, err := collectortrace.NewTraceServiceClient(conn).Export(t.Context(), &collectortrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource: resourceOf(of), ScopeSpans: []*trace.ScopeSpans{{Spans: []*trace.Span{span}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

func sendLog(t *testing.T, conn *grpc.ClientConn, service string, attributes []*common.KeyValue, body string) {
	t.Helper()
	record := &logs.LogRecord{Attributes: attributes, Body: stringValue(body)}
	_, err := collectorlogs.NewLogsServiceClient(conn).Export(t.Context(), &collectorlogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource: resourceOf(map[string]string{"service.name": service}), ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{record}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

func waitSpan(t *testing.T, sink *harness.TraceSink, service string) harness.Span {
	t.Helper()
	var spans []harness.Span
	harness.Eventually(t, arrival, "span of "+service, func() error {
		if spans = sink.Spans(service); len(spans) != 1 {
			return fmt.Errorf("got %d spans, want 1", len(spans))
		}
		return nil
	})
	return spans[0]
}

// An httpSink stands where Prometheus and Loki would be, as receivers of OTLP over
// HTTP.
type httpSink struct {
	address string

	mu      sync.Mutex
	logs    map[string]*logs.LogRecord // by service
	metrics map[string]*metrics.Metric // by name, the latest
}

func startHTTPSink(t *testing.T) *httpSink {
	t.Helper()
	sink := &httpSink{logs: map[string]*logs.LogRecord{}, metrics: map[string]*metrics.Metric{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/otlp/v1/logs", sink.receiveLogs)
	mux.HandleFunc("/api/v1/otlp/v1/metrics", sink.receiveMetrics)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	sink.address = server.Listener.Addr().String()
	return sink
}

func (s *httpSink) receiveLogs(w http.ResponseWriter, r *http.Request) {
	var request collectorlogs.ExportLogsServiceRequest
	if err := decode(r, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range request.GetResourceLogs() {
		for _, scope := range of.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				s.logs[attributesOf(of.GetResource().GetAttributes())["service.name"]] = record
			}
		}
	}
}

func (s *httpSink) receiveMetrics(w http.ResponseWriter, r *http.Request) {
	var request collectormetrics.ExportMetricsServiceRequest
	if err := decode(r, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range request.GetResourceMetrics() {
		for _, scope := range of.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				s.metrics[metric.GetName()] = metric
			}
		}
	}
}

func decode(r *http.Request, into proto.Message) error {
	body, err := gzip.NewReader(r.Body) // the Collector compresses
	if err != nil {
		return err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return proto.Unmarshal(text, into)
}

func (s *httpSink) waitLog(t *testing.T, service string) *logs.LogRecord {
	t.Helper()
	var record *logs.LogRecord
	harness.Eventually(t, arrival, "log record of "+service, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if record = s.logs[service]; record == nil {
			return fmt.Errorf("none of %d", len(s.logs))
		}
		return nil
	})
	return record
}

// waitMetric waits until a metric arrives that check has no error for.
func (s *httpSink) waitMetric(t *testing.T, name string, check func(*metrics.Metric) error) {
	t.Helper()
	harness.Eventually(t, arrival, "metric "+name, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if metric := s.metrics[name]; metric != nil {
			return check(metric)
		}
		return fmt.Errorf("got only %v", slices.Sorted(maps.Keys(s.metrics)))
	})
}

// keyValues returns string attributes in OTLP.
func keyValues(attributes map[string]string) []*common.KeyValue {
	var kvs []*common.KeyValue
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		kvs = append(kvs, &common.KeyValue{Key: key, Value: stringValue(attributes[key])})
	}
	return kvs
}

func attributesOf(kvs []*common.KeyValue) map[string]string {
	attributes := map[string]string{}
	for _, kv := range kvs {
		attributes[kv.GetKey()] = kv.GetValue().GetStringValue()
	}
	return attributes
}

func stringValue(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func resourceOf(attributes map[string]string) *resource.Resource {
	return &resource.Resource{Attributes: keyValues(attributes)}
}
