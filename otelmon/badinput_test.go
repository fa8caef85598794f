package otelmon_test

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

// Not parallel: sets environment variables.
func TestBadVariablesAreNamedAndTheRestRuns(t *testing.T) {
	const canary = "canary-secret"
	for name, row := range map[string]struct {
		variables map[string]string
		want      []string // in the error; the first is the variable or field
		arrives   string
	}{
		"an endpoint that is not an address": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "::1:4317"}, []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "::1:4317", "brackets"}, "",
		},
		"an endpoint with an unknown scheme": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://collector"}, []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp"}, "",
		},
		"an endpoint of one signal without a host": {
			map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://"}, []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "host"}, "metrics logs",
		},
		"an unknown protocol": {
			map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}, []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon", "grpc"}, "traces metrics logs",
		},
		"an unknown exporter": {
			map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, []string{"OTEL_TRACES_EXPORTER", "zipkin", "otlp"}, "traces metrics logs",
		},
		"an unknown exporter beside a known one": {
			map[string]string{"OTEL_LOGS_EXPORTER": "otlp,smoke"}, []string{"OTEL_LOGS_EXPORTER", "smoke"}, "traces metrics logs",
		},
		"an unknown compression": {
			map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, []string{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip"}, "traces metrics logs",
		},
		"a negative queue": {
			map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, []string{"OTEL_BSP_MAX_QUEUE_SIZE", "-1"}, "traces metrics logs",
		},
		"a huge queue": {
			map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "999999999999999"}, []string{"OTEL_BSP_MAX_QUEUE_SIZE", "999999999999999"}, "traces metrics logs",
		},
		"a negative batch": {
			map[string]string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "-5"}, []string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-5"}, "traces metrics logs",
		},
		"a batch larger than the queue": {
			map[string]string{"OTEL_BLRP_MAX_QUEUE_SIZE": "4", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "5"}, []string{"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "5"}, "traces metrics logs",
		},
		"a delay of zero": {
			map[string]string{"OTEL_BSP_SCHEDULE_DELAY": "0"}, []string{"OTEL_BSP_SCHEDULE_DELAY", "0", "milliseconds"}, "traces metrics logs",
		},
		"a duration with a unit": {
			map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, []string{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"}, "traces metrics logs",
		},
		"an interval that is not a number": {
			map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "often"}, []string{"OTEL_METRIC_EXPORT_INTERVAL", "often"}, "traces metrics logs",
		},
		"headers with a bad escape": {
			map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "api-key=%zz" + canary}, []string{"OTEL_EXPORTER_OTLP_HEADERS"}, "",
		},
		"headers without a key": {
			map[string]string{"OTEL_EXPORTER_OTLP_LOGS_HEADERS": "Bearer " + canary}, []string{"OTEL_EXPORTER_OTLP_LOGS_HEADERS"}, "traces metrics",
		},
		"a certificate that is missing": {
			map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": filepath.Join(t.TempDir(), "missing")}, []string{"OTEL_EXPORTER_OTLP_CERTIFICATE", "missing"}, "",
		},
		"a certificate that cannot be read": {
			map[string]string{"OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": t.TempDir()}, []string{"OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "directory"}, "traces logs",
		},
		"a certificate that is none": {
			map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "badinput_test.go"}, []string{"OTEL_EXPORTER_OTLP_CERTIFICATE", "PEM"}, "",
		},
		"a metrics port that is none": {
			map[string]string{"OTEL_EXPORTER_PROMETHEUS_PORT": "http"}, []string{"OTEL_EXPORTER_PROMETHEUS_PORT", "http"}, "traces metrics logs",
		},
		"a service name that is not UTF-8": {
			map[string]string{"OTEL_SERVICE_NAME": "shop\xff"}, []string{"OTEL_SERVICE_NAME", "UTF-8"}, "traces metrics logs",
		},
		"resource attributes that are malformed": {
			map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a,b=%zz,c=3"}, []string{"OTEL_RESOURCE_ATTRIBUTES", "member 1", "member 2"}, "traces metrics logs",
		},
		"resource attributes with a key twice": {
			map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a=1,a=2"}, []string{"OTEL_RESOURCE_ATTRIBUTES", "repeats"}, "traces metrics logs",
		},
		"a boolean that is none": {
			map[string]string{"OTEL_SDK_DISABLED": "yes"}, []string{"OTEL_SDK_DISABLED", "yes", "true or false"}, "traces metrics logs",
		},
		"a switch for plaintext that is no boolean": {
			map[string]string{"OTEL_EXPORTER_OTLP_INSECURE": "yes"}, []string{"OTEL_EXPORTER_OTLP_INSECURE", "yes"}, "traces metrics logs",
		},
		"an unknown temporality": {
			map[string]string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "eternal"}, []string{"TEMPORALITY_PREFERENCE", "eternal"}, "traces metrics logs",
		},
		"a negative limit": {
			map[string]string{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-2"}, []string{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-2"}, "traces metrics logs",
		},
		"a metrics path that is none": {
			map[string]string{"OTELMON_METRICS_PATH": "both"}, []string{"OTELMON_METRICS_PATH", "both", "scrape"}, "traces metrics logs",
		},
		"a pattern of metrics that is none": {
			map[string]string{"OTELMON_METRICS_DISABLED": "go.*,#bad#"}, []string{"OTELMON_METRICS_DISABLED", "#bad#"}, "traces metrics logs",
		},
		"a Pushgateway that is no URL": {
			map[string]string{"OTELMON_PUSHGATEWAY_URL": "ftp://ann:" + canary + "@gateway/?token=" + canary}, []string{"OTELMON_PUSHGATEWAY_URL"}, "traces metrics logs",
		},
		"a web configuration that is missing": {
			map[string]string{"OTELMON_PROMETHEUS_WEB_CONFIG_FILE": "/nowhere/web.yml"}, []string{"/nowhere/web.yml"}, "traces metrics logs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			collector := faultcollector.Start(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.GRPC)
			s := pushing(t, collector, row.variables)
			if strings.Contains(row.want[0], "PROMETHEUS_PORT") {
				s = withListener(t, collector)
			}
			wantError(t, s.setupErr, row.want...)
			if n := strings.Count(errorText(s.setupErr), "\n"); n > 1 {
				t.Errorf("got %d lines, want one for each fault:\n%v", n+1, s.setupErr)
			}
			s.emit(t)
			if err := flushUntil(t, s, 10*time.Second); err != nil {
				t.Error(err)
			}
			if got := arrived(collector.Received()); got != row.arrives {
				t.Errorf("%q arrived, want %q", got, row.arrives)
			}
			if out := errorText(s.setupErr) + s.log.String(); strings.Contains(out, canary) {
				t.Errorf("the secret is shown: %s", out)
			}
		})
	}
}

// Not parallel: sets an environment variable.
func TestAnEndpointWithTheSignalsPathServesAllSignals(t *testing.T) {
	collector := faultcollector.Start(t)
	s := pushing(t, collector, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + collector.HTTP + "/v1/traces"})
	wantError(t, s.setupErr, "OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces")
	if got := arrived(s.deliver(t)); got != all("") {
		t.Errorf("%q arrived, want everything", got)
	}
}

// withListener leaves the metrics listener to the variables.
func withListener(t *testing.T, collector *faultcollector.Collector) *service {
	t.Helper()
	s := &service{collector: collector, log: newLines()}
	s.SDK, s.setupErr = otelmon.Setup(t.Context(), otelmon.Config{DisableGlobals: true, Logger: s.log.logger()})
	t.Cleanup(func() { s.shutdown(t) })
	return s
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Not parallel: sets environment variables.
func TestABadSamplerKeepsOnePercentNeverAll(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"an unknown sampler":      {"OTEL_TRACES_SAMPLER": "jaeger_remote"},
		"a ratio above one":       {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"},
		"a ratio that is none":    {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "NaN"},
		"a ratio that is a word":  {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "most"},
		"a ratio that is below 0": {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "-0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := with(t, variables)
			wantError(t, s.setupErr, "OTEL_TRACES_SAMPLER")
			sampled := 0
			for range 5000 {
				_, span := s.TracerProvider().Tracer("test").Start(t.Context(), "root")
				if span.SpanContext().IsSampled() {
					sampled++
				}
				span.End()
			}
			// 50 are expected; 5 and 150 are more than six deviations away.
			if sampled < 5 || sampled > 150 {
				t.Errorf("%d of 5000 roots were sampled, want about 50", sampled)
			}
		})
	}
}

// Not parallel: sets environment variables.
func TestAnUnknownPropagatorIsLeftOut(t *testing.T) {
	t.Setenv("OTEL_PROPAGATORS", "tracecontext,telepathy")
	s := setUpGlobal(t, otelmon.Config{DisableOTLP: true})
	wantError(t, s.setupErr, "OTEL_PROPAGATORS", "telepathy")
}

func TestBadFieldsAreNamedAndTheRestRuns(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	broken := errors.New("broken")
	for name, row := range map[string]struct {
		cfg  otelmon.Config
		want []string
	}{
		"a metrics port in use":            {otelmon.Config{Prometheus: exporters.Prometheus{Address: taken.Addr().String()}}, []string{"Prometheus.Address", taken.Addr().String(), "port 0"}},
		"an unknown protocol":              {otelmon.Config{OTLP: exporters.OTLP{Protocol: "udp"}}, []string{"OTLP.Protocol", "udp", "grpc"}},
		"a service name that is not text":  {otelmon.Config{ServiceName: "a\xffb"}, []string{"Config.ServiceName", "UTF-8"}},
		"an attribute that is there twice": {otelmon.Config{Attributes: []attribute.KeyValue{attribute.Int("n", 1), attribute.Int("n", 2)}}, []string{"Config.Attributes", `"n"`}},
		"an attribute that is not text":    {otelmon.Config{Attributes: []attribute.KeyValue{attribute.String("k", "\xff")}}, []string{"Config.Attributes", "UTF-8"}},
		"an objective below zero":          {otelmon.Config{LatencyObjectives: []time.Duration{-time.Second}}, []string{"-1s"}},
		"boundaries that do not increase":  {otelmon.Config{Boundaries: map[string][]float64{"x": {2, 1}}}, []string{`"x"`}},
		"a metrics path that is none":      {otelmon.Config{MetricsPath: "both"}, []string{"Config.MetricsPath", "both"}},
		"a span processor that is nil":     {otelmon.Config{SpanProcessors: []sdktrace.SpanProcessor{nil}}, []string{"Config.SpanProcessors[0]"}},
		"a log processor that is nil":      {otelmon.Config{LogProcessors: []sdklog.Processor{nil}}, []string{"Config.LogProcessors[0]"}},
		"a reader that is nil":             {otelmon.Config{Readers: []sdkmetric.Reader{nil}}, []string{"Config.Readers[0]"}},
		"a function that is nil":           {otelmon.Config{OnStart: []func(*otelmon.SDK) error{nil}}, []string{"Config.OnStart[0]"}},
		"a function that panics":           {otelmon.Config{OnStart: []func(*otelmon.SDK) error{func(*otelmon.SDK) error { panic(broken) }}}, []string{"Config.OnStart[0]", "panic: broken"}},
		"a function that fails":            {otelmon.Config{OnStart: []func(*otelmon.SDK) error{func(*otelmon.SDK) error { return broken }}}, []string{"Config.OnStart[0]: broken"}},
		"a view that is nil":               {otelmon.Config{Views: []sdkmetric.View{nil}}, []string{"Config.Views[0]"}},
		"pages without their exporter":     {otelmon.Config{DisablePrometheus: true, Prometheus: exporters.Prometheus{Handlers: map[string]http.Handler{"/x": http.NotFoundHandler()}}}, []string{"Config.Prometheus.Handlers"}},
		"a limit below zero":               {otelmon.Config{CardinalityLimit: -1}, []string{"Config.CardinalityLimit=-1"}},
		"a timeout below zero":             {otelmon.Config{ShutdownTimeout: -time.Second}, []string{"Config.ShutdownTimeout=-1s"}},
		"a Pushgateway for Setup":          {otelmon.Config{PushgatewayURL: "http://localhost"}, []string{"Config.PushgatewayURL"}},
		"a list that is not text":          {otelmon.Config{Attributes: []attribute.KeyValue{attribute.StringSlice("k", []string{"a", "\xff"})}}, []string{"Config.Attributes", "UTF-8"}},
		"a key that is not text":           {otelmon.Config{Attributes: []attribute.KeyValue{attribute.Int("k\xff", 1)}}, []string{"Config.Attributes", "UTF-8"}},
		"what a detector found is no text": {otelmon.Config{Detectors: []resource.Detector{detector{found: "\xff"}}}, []string{"resource attribute", "UTF-8"}},
		"a detector that is nil":           {otelmon.Config{Detectors: []resource.Detector{nil}}, []string{"Config.Detectors[0]"}},
		"a detector that fails":            {otelmon.Config{Detectors: []resource.Detector{detector{err: broken}}}, []string{"Config.Detectors[0]", "broken"}},
		"a detector that panics":           {otelmon.Config{Detectors: []resource.Detector{detector{panics: true}}}, []string{"Config.Detectors[0]", "panic"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setUp(t, row.cfg)
			if s.setupErr == nil {
				t.Fatal("got no error")
			}
			for _, part := range row.want {
				if !strings.Contains(s.setupErr.Error(), part) {
					t.Errorf("%q is missing from the error: %v", part, s.setupErr)
				}
			}
			got := s.deliver(t)
			if arrived(got) != "traces metrics logs" {
				t.Errorf("%q arrived, want everything", arrived(got))
			}
			for key, value := range resourceOf(t, got) {
				if !utf8.ValidString(value) {
					t.Errorf("%s=%q is not UTF-8", key, value)
				}
			}
		})
	}
}

// detector finds one attribute, or misbehaves.
type detector struct {
	err    error
	panics bool
	hangs  bool
	found  string
}

func (d detector) Detect(ctx context.Context) (*resource.Resource, error) {
	if d.panics {
		panic("detector")
	}
	if d.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return resource.NewWithAttributes("https://opentelemetry.io/schemas/1.4.0", attribute.String("cloud.region", cmp.Or(d.found, "moon"))), d.err
}

func TestADetectorThatHangsDoesNotHoldSetupUp(t *testing.T) {
	t.Parallel()
	cfg := withoutPush()
	cfg.DisableGlobals = true
	cfg.Logger = newLines().logger()
	cfg.Detectors = []resource.Detector{detector{hangs: true}, detector{}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	sdk, err := otelmon.Setup(ctx, cfg)
	if err == nil || !strings.Contains(err.Error(), "Config.Detectors[0]") {
		t.Errorf("got %v, want the first detector's failure", err)
	}
	if body, _ := get(t, sdk.MetricsURL()); !strings.Contains(body, `cloud_region="moon"`) {
		t.Error("what the second detector found is missing")
	}
	if err := sdk.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheCommandLineIsNeverRecorded(t *testing.T) {
	t.Parallel()
	got := setUp(t, otelmon.Config{}).deliver(t)
	for key, value := range resourceOf(t, got) {
		if strings.HasPrefix(key, "process.command") || strings.Contains(value, "-test.") {
			t.Errorf("%s=%q tells the command line %q", key, value, os.Args)
		}
	}
}
