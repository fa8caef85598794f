package otelmon_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

// protocols are retried by different code.
var protocols = []string{"grpc", "http/protobuf"}

func TestRequestsAreServedWithoutACollector(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ServiceName: "test", OTLP: exporters.OTLP{Endpoint: absent, MetricInterval: 100 * time.Millisecond}})
	load := startLoad(t, s.serve(t, worker())+"/work")
	s.log.wait(t, "cannot deliver telemetry")
	load.wait(t, load.count()+100)
	if _, failed := load.end(); s.setupErr != nil || len(failed) > 0 {
		t.Errorf("got setup error %v and failed requests %v", s.setupErr, failed)
	}
	if n := strings.Count(s.log.String(), "\n"); n > 2 {
		t.Errorf("got %d log lines, want 2 at most:\n%s", n, s.log)
	}
}

func TestAnOutageUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := setUp(t, otelmon.Config{ServiceName: "test", OTLP: exporters.OTLP{Protocol: protocol}})
			load := startLoad(t, s.serve(t, worker())+"/work")
			s.collector.Wait(patience(t), t, func(got faultcollector.Received) bool { return got.Spans > 0 })
			s.collector.Refuse()
			s.log.wait(t, "cannot deliver telemetry")
			load.wait(t, load.count()+400) // takes more than 1 s
			s.collector.Heal()
			s.log.wait(t, "recovered")
			finished, failed := load.end()
			if len(failed) > 0 {
				t.Errorf("requests failed: %v", failed)
			}
			if err := s.ForceFlush(patience(t)); err != nil {
				t.Error(err)
			}
			wantSpans(t, s.collector.Received(), finished)
			if n := strings.Count(s.log.String(), "\n"); n != 3 || !strings.Contains(s.log.String(), "lost=0") {
				t.Errorf("got %d log lines, want the start, the outage and its end without a loss:\n%s", n, s.log)
			}
		})
	}
}

func TestWhatIsWrongWithTheCollectorIsSaidOnceWithoutSecrets(t *testing.T) {
	t.Parallel()
	const secret = "canary-secret"
	refusal := faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated, Message: "you are not " + secret})
	tests := map[string]struct {
		protocol string
		endpoint string // GRPC and HTTP stand for the Collector's addresses, with an S for those of the one with TLS
		want     string // the cause, in the log
		lines    int    // of warnings: one, or one for each signal where it is refused by an answer
	}{
		"gRPC with TLS to plaintext":           {"grpc", "https://GRPC", "TLS handshake", 1},
		"HTTP with TLS to plaintext":           {"http/protobuf", "https://HTTP", "HTTP response to HTTPS client", 1},
		"gRPC in plaintext to TLS":             {"grpc", "http://SGRPC", "server preface", 1},
		"HTTP in plaintext to TLS":             {"http/protobuf", "http://SHTTP", "HTTP request to an HTTPS server", 3},
		"gRPC to an authority that is unknown": {"grpc", "https://SGRPC", "unknown authority", 1},
		"HTTP to an authority that is unknown": {"http/protobuf", "https://SHTTP", "unknown authority", 1},
		"gRPC to a name that does not resolve": {"grpc", "http://collector.invalid:4317", "collector.invalid", 1},
		"HTTP to a name that does not resolve": {"http/protobuf", "http://collector.invalid:4318", "lookup collector.invalid", 1},
		"gRPC to a port where nobody listens":  {"grpc", absent, "connection refused", 1},
		"HTTP to a port where nobody listens":  {"http/protobuf", absent, "connection refused", 1},
		"gRPC to the port of HTTP":             {"grpc", "HTTP", "server preface", 1},
		"HTTP to the port of gRPC":             {"http/protobuf", "GRPC", " (is it a port for gRPC?)", 1},
		"gRPC with credentials that are wrong": {"grpc", "GRPC", "you are not [masked]", 3},
		"HTTP with credentials that are wrong": {"http/protobuf", "HTTP", "401 Unauthorized you are not [masked]", 3},
	}
	plain := faultcollector.Start(t)
	plain.Answer(refusal)
	withTLS, _ := faultcollector.StartTLS(t)
	addresses := strings.NewReplacer("SGRPC", withTLS.GRPC, "SHTTP", withTLS.HTTP, "GRPC", plain.GRPC, "HTTP", plain.HTTP)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setUp(t, otelmon.Config{ServiceName: "test", OTLP: exporters.OTLP{
				Endpoint: addresses.Replace(test.endpoint), Protocol: test.protocol, Headers: map[string]string{"Authorization": "Bearer " + secret},
			}})
			if s.setupErr != nil {
				t.Error(s.setupErr)
			}
			s.emit(t)
			err := flushUntil(t, s, 200*time.Millisecond)
			s.log.wait(t, test.want)
			log := s.log.String()
			if n := strings.Count(log, "level=WARN"); n != test.lines {
				t.Errorf("got %d warnings, want %d:\n%s", n, test.lines, log)
			}
			s.emit(t)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			for _, err := range []error{err, s.Shutdown(ctx)} {
				if err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("got error %v, want one without the secret", err)
				}
			}
			if strings.Contains(s.log.String(), secret) {
				t.Errorf("the secret is in the log:\n%s", s.log)
			}
		})
	}
}

// Not parallel: sets the default logger and a variable.
func TestWhatTheTelemetrySaysOfItselfIsNeverExported(t *testing.T) {
	t.Setenv("OTEL_BLRP_SCHEDULE_DELAY", "50")
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	s := &service{collector: faultcollector.Start(t), log: newLines()}
	slog.SetDefault(s.log.logger())
	s.collector.Refuse()
	sdk, err := otelmon.Setup(t.Context(), otelmon.Config{
		DisableGlobals: true,
		Prometheus:     exporters.Prometheus{Address: "127.0.0.1:0"},
		OTLP:           exporters.OTLP{Endpoint: s.collector.GRPC},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.SDK = sdk
	t.Cleanup(func() { s.shutdown(t) })
	slog.SetDefault(slog.New(sdk.SlogHandler(slog.NewTextHandler(s.log, nil))))

	slog.InfoContext(t.Context(), "during the outage")
	s.log.wait(t, "cannot deliver telemetry")
	s.collector.Heal()
	s.log.wait(t, "recovered")
	s.collector.Answer(faultcollector.Sequence(faultcollector.Reply{Code: codes.Unauthenticated}))
	slog.InfoContext(t.Context(), "refused")
	s.log.wait(t, "loss of telemetry started")
	slog.InfoContext(t.Context(), "at last")
	if err := s.ForceFlush(patience(t)); err != nil {
		t.Error(err)
	}
	want := map[string]int{"during the outage": 1, "at last": 1}
	if diff := cmp.Diff(want, s.collector.Received().LogBodies()); diff != "" {
		t.Errorf("log records that arrived (-want +got):\n%s", diff)
	}
}

func TestMetricsPageAccountsForEverySpanWhileTheCollectorIsDown(t *testing.T) {
	t.Parallel()
	s := setUp(t, otelmon.Config{ServiceName: "test", OTLP: exporters.OTLP{QueueBytes: 200 << 10}})
	s.collector.Refuse()
	s.emit(t)
	s.log.wait(t, "cannot deliver telemetry")
	first := s.account(t)
	if first.accepted != 1 || first.waiting != 1 || len(first.failed)+len(first.dropped) > 0 {
		t.Errorf("got %+v, want one span that waits", first)
	}
	for range 500 {
		s.emit(t)
	}
	if full := s.account(t); full.accepted != 501 || full.dropped["queue_full"] == 0 || full.waiting == 0 {
		t.Errorf("got %+v, want spans that wait and spans that had no room", full)
	}
	s.collector.Heal()
	s.log.wait(t, "recovered")
	if err := s.ForceFlush(patience(t)); err != nil {
		t.Error(err)
	}
	if healed := s.account(t); healed.waiting != 0 || healed.exported != float64(s.collector.Received().Spans) {
		t.Errorf("got %+v, want the %d spans that arrived", healed, s.collector.Received().Spans)
	}
	s.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated}))
	s.emit(t)
	if err := s.ForceFlush(patience(t)); err == nil {
		t.Error("got no error although everything was refused")
	}
	if refused := s.account(t); refused.failed["UNAUTHENTICATED"] != 1 {
		t.Errorf("got %+v, want the span that was refused", refused)
	}
}

// account is what the metrics page says of spans.
type account struct {
	accepted, waiting, exported float64
	failed, dropped             map[string]float64 // by error_type
}

// account reads the page and checks that nothing is missing on it.
func (s *service) account(t *testing.T) account {
	t.Helper()
	page := families(t, s.MetricsURL())
	a := account{
		accepted: byError(page["otelmon_export_accepted_total"], "otelmon_signal", "traces")[""],
		waiting:  byError(page["otel_sdk_processor_span_queue_size"])[""] + byError(page["otel_sdk_exporter_span_inflight"])[""],
		failed:   byError(page["otel_sdk_exporter_span_exported_total"]),
		dropped:  byError(page["otel_sdk_processor_span_processed_total"]),
	}
	a.exported = a.failed[""]
	delete(a.failed, "")
	delete(a.dropped, "")                                    // what was handed to the exporter
	none := func(_ string, n float64) bool { return n == 0 } // the usual reasons are there from the start
	maps.DeleteFunc(a.failed, none)
	maps.DeleteFunc(a.dropped, none)
	all := a.exported + a.waiting
	for _, reasons := range []map[string]float64{a.failed, a.dropped} {
		for _, n := range reasons {
			all += n
		}
	}
	if a.accepted != all {
		t.Errorf("%v spans were accepted and %v are accounted for: %+v", a.accepted, all, a)
	}
	return a
}

// One request that is not text must not cost the telemetry of others.
func TestOneBadRequestAmongHundredCostsNothing(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := setUp(t, otelmon.Config{ServiceName: "test", OTLP: exporters.OTLP{Protocol: protocol}})
			requests, err := s.MeterProvider().Meter("test").Int64Counter("tenant.requests")
			if err != nil {
				t.Fatal(err)
			}
			log := slog.New(s.SlogHandler(nil))
			address := s.serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				tenant := attribute.String("tenant", r.Header.Get("X-Tenant"))
				trace.SpanFromContext(r.Context()).SetAttributes(tenant)
				requests.Add(r.Context(), 1, metric.WithAttributes(tenant))
				log.InfoContext(r.Context(), "request of "+tenant.Value.AsString(), "tenant", tenant.Value.AsString())
			}))
			var good []trace.SpanID
			for i := range 100 {
				if i == 50 {
					sendRaw(t, address, "GET /\xff\xfe?\xff HTTP/1.1\r\nHost: x\r\nUser-Agent: \xff\r\nX-Forwarded-For: \xfe\r\nX-Tenant: a\xffb\r\nConnection: close\r\n\r\n")
				}
				id, err := ask(t.Context(), http.DefaultClient, address+"/good")
				if err != nil {
					t.Fatal(err)
				}
				good = append(good, id)
			}
			if err := s.ForceFlush(patience(t)); err != nil {
				t.Error(err)
			}
			got := s.collector.Received()
			wantSpans(t, got, good)
			if got.Spans != 101 || got.LogRecords != 101 {
				t.Errorf("got %d spans and %d log records, want 101 of each", got.Spans, got.LogRecords)
			}
			var pushed int64
			for _, point := range metricOf(got, "tenant.requests").GetSum().GetDataPoints() {
				pushed += point.GetAsInt()
			}
			// The bad tenant's series may be missing on the page, but no other.
			scraped := byError(families(t, s.MetricsURL())["tenant_requests_total"], "tenant", "")[""]
			if pushed != 101 || scraped != 100 {
				t.Errorf("%d requests were counted over OTLP, want 101, and %v without a tenant are on the metrics page, want 100", pushed, scraped)
			}
			for name, format := range formats {
				body, answer := page(t, s.MetricsURL(), format, "")
				if answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "tenant_requests") {
					t.Errorf("%s: got status %s and %d bytes, want the metrics", name, answer.Status, len(body))
				}
			}
		})
	}
}

// Labels of a series that cannot be scraped come from clients.
func TestNoClientMakesLogLinesLong(t *testing.T) {
	t.Parallel()
	s := setUp(t, withoutPush())
	requests, err := s.MeterProvider().Meter("test").Int64Counter("tenant.requests")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		tenant := fmt.Sprint(i, strings.Repeat("\xff", 10_000))
		requests.Add(t.Context(), 1, metric.WithAttributes(attribute.String("tenant", tenant)))
	}
	s.scrape(t)
	s.log.wait(t, "left out of a scrape")
	if n := len(s.log.String()); n > 4000 {
		t.Errorf("got a log of %d bytes", n)
	}
}

// sendRaw sends bytes that an HTTP client would not, and reads the response.
func sendRaw(t *testing.T, address, request string) {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(patience(t), "tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	response, err := io.ReadAll(connection)
	if err != nil || !strings.HasPrefix(string(response), "HTTP/1.1 200 OK") {
		t.Fatalf("got response %q: %v", response, err)
	}
}
