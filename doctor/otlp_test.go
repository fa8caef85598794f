package doctor_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// found is a finding that a test wants.
type found struct {
	check           string
	level           doctor.Level
	message, advice []string // words of it
}

func (want found) in(t *testing.T, report doctor.Report) {
	t.Helper()
	findings := of(report, "otlp", want.check)
	if len(findings) != 1 {
		t.Fatalf("got findings %+v, want one of check %s", of(report, "otlp", ""), want.check)
	}
	got := findings[0]
	documented(t, got)
	if got.Level != want.level || !says(got.Message, want.message...) || !says(got.Advice, want.advice...) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if (got.Advice == "") != (got.Level == doctor.OK) {
		t.Errorf("got advice %q with level %v", got.Advice, got.Level)
	}
	for _, other := range of(report, "otlp", "") {
		if other.Level == doctor.Failure && other.Check != want.check {
			t.Errorf("got also %+v", other)
		}
	}
}

// endpointTest is a place that variables lead to, and what is found there.
type endpointTest struct {
	variables func(*testing.T) variables
	want      found
	timeout   time.Duration // of peers that make steps take their share of it; default 5 s
}

func runEndpointTests(t *testing.T, tests map[string]endpointTest) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.variables(t).set(t)
			test.want.in(t, doctor.Run(t.Context(), doctor.Config{Timeout: cmp.Or(test.timeout, 5*time.Second)}))
		})
	}
}

func TestOTLPExport(t *testing.T) {
	runEndpointTests(t, map[string]endpointTest{
		"a Collector takes all signals over gRPC": {
			variables: func(t *testing.T) variables { return answering(t, false, nil) },
			want:      found{check: "export", message: []string{"takes traces, metrics and logs", "over grpc"}},
		},
		"a Collector takes all signals over HTTP": {
			variables: func(t *testing.T) variables { return answering(t, true, nil) },
			want:      found{check: "export", message: []string{"takes traces, metrics and logs", "over http/protobuf"}},
		},
		"a Collector that answers soon": {
			variables: func(t *testing.T) variables { return answering(t, false, nil) },
			want:      found{check: "latency", message: []string{"answers within"}},
		},
		"a Collector that answers late": {
			variables: func(t *testing.T) variables {
				return answering(t, false, refusing("metrics", faultcollector.Reply{Delay: time.Second}))
			},
			want:    found{check: "latency", level: doctor.Warning, message: []string{"took 1", "metrics"}, advice: []string{"load"}},
			timeout: 3 * time.Second, // less of which is for one step
		},
		"clocks agree": {
			variables: func(t *testing.T) variables { return httpTo(plaintext(t, nil)) },
			want:      found{check: "clock", message: []string{"agree"}},
		},
		"the clock of the Collector is a little behind": {
			variables: func(t *testing.T) variables { return httpTo(plaintext(t, dated(-time.Minute))) },
			want:      found{check: "clock", level: doctor.Warning, message: []string{"behind"}, advice: []string{"NTP"}},
		},
		"the clock of the Collector is an hour ahead": {
			variables: func(t *testing.T) variables { return httpTo(plaintext(t, dated(time.Hour))) },
			want:      found{check: "clock", level: doctor.Failure, message: []string{"ahead"}, advice: []string{"NTP"}},
		},
		"signals are off": {
			variables: func(*testing.T) variables {
				return variables{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
			},
			want: found{check: "disabled", message: []string{"no signal is pushed"}},
		},
		"all of telemetry is off": {
			variables: func(*testing.T) variables { return variables{"OTEL_SDK_DISABLED": "true"} },
			want:      found{check: "disabled", message: []string{"no signal is pushed"}},
		},
		"an endpoint that is none": {
			variables: func(*testing.T) variables { return variables{"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://collector"} },
			want:      found{check: "not-configured", level: doctor.Failure, message: []string{"nothing is pushed"}},
		},
	})
}

func TestSignalsToDifferentPlaces(t *testing.T) {
	c := faultcollector.Start(t)
	grpcTo(c.GRPC).with("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://"+nobody(t)).set(t)
	report := doctor.Run(t.Context(), doctor.Config{Timeout: 5 * time.Second})
	if exports := of(report, "otlp", "export"); len(exports) != 1 || !says(exports[0].Message, "takes traces and metrics") {
		t.Errorf("got %+v, want traces and metrics taken", exports)
	}
	refused := of(report, "otlp", "connection")
	refused = slices.DeleteFunc(refused, func(f doctor.Finding) bool { return f.Level == doctor.OK })
	if len(refused) != 1 || !says(refused[0].Message, "where logs go") || !strings.HasSuffix(refused[0].Advice, "set OTEL_LOGS_EXPORTER=none.") {
		t.Errorf("got %+v, want advice for the one signal that goes there", refused)
	}
	if connections := of(report, "otlp", "connection"); len(connections) != 2 || report.Level() != doctor.Failure {
		t.Errorf("got %+v, want one to the Collector and one refused", connections)
	}
}

func TestNothingIsSentButEmptyExports(t *testing.T) {
	c := faultcollector.Start(t)
	grpcTo(c.GRPC).with("OTEL_METRICS_EXPORTER", "otlp,console").set(t)
	doctor.Run(t.Context(), doctor.Config{})
	got := c.Received()
	if len(got.SpanIDs()) != 0 || len(got.LogBodies()) != 0 {
		t.Errorf("got spans %v and log records %v, want none", got.SpanIDs(), got.LogBodies())
	}
}
