package exporters_test

import (
	"crypto/tls"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/exporters"
)

// target returns that of traces.
func target(t *testing.T, config exporters.OTLP) exporters.Target {
	t.Helper()
	config.DisableMetrics, config.DisableLogs = true, true
	targets, err := config.Targets()
	if err != nil || len(targets) != 1 {
		t.Fatalf("got %+v and error %v, want one target", targets, err)
	}
	return targets[0]
}

func TestTargets(t *testing.T) { // not parallel: it sets variables
	type tuple struct{ signal, address, protocol, serverName string }
	shown := func(targets []exporters.Target) (all []tuple) {
		for _, to := range targets {
			found := tuple{to.Signal, to.Address, to.Protocol, ""}
			if to.TLS != nil {
				found.serverName = to.TLS.ServerName
			}
			all = append(all, found)
		}
		return all
	}
	tests := map[string]struct {
		config    exporters.OTLP
		variables map[string]string
		want      []tuple
		wantErr   string
	}{
		"the default": {
			want: []tuple{{"traces", "localhost:4317", protocolGRPC, ""}, {"metrics", "localhost:4317", protocolGRPC, ""}, {"logs", "localhost:4317", protocolGRPC, ""}},
		},
		"disabled signals are left out": {
			config: exporters.OTLP{Endpoint: "https://collector.example", DisableTraces: true, DisableLogs: true},
			want:   []tuple{{"metrics", "collector.example:443", protocolGRPC, "collector.example"}},
		},
		"the name of the server is kept": {
			config: exporters.OTLP{Endpoint: "https://[2001:db8::1]:4317", DisableMetrics: true, DisableLogs: true, TLS: &tls.Config{MinVersion: tls.VersionTLS13, ServerName: "own"}},
			want:   []tuple{{"traces", "[2001:db8::1]:4317", protocolGRPC, "own"}},
		},
		"each signal has its variables": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://logs.example/in", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": protocolHTTP},
			want: []tuple{
				{"traces", "localhost:4317", protocolGRPC, ""}, {"metrics", "localhost:4318", protocolHTTP, ""}, {"logs", "logs.example:443", protocolHTTP, "logs.example"},
			},
		},
		"a signal that cannot be sent is left out": {
			variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "ftp://files.example"},
			want:      []tuple{{"metrics", "localhost:4317", protocolGRPC, ""}, {"logs", "localhost:4317", protocolGRPC, ""}},
			wantErr:   `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="ftp://files.example"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.variables {
				t.Setenv(name, value)
			}
			targets, err := test.config.Targets()
			if diff := cmp.Diff(test.want, shown(targets), cmp.AllowUnexported(tuple{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("targets differ (-want +got):\n%s", diff)
			}
			if test.wantErr != "" {
				checkError(t, err, test.wantErr)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
