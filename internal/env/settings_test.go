package env_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/env"
)

func noReason(string) string { return "no reason" }

// settings returns what the Reader shows, by name, in an environment of these
// values.
func settings(r *env.Reader, values map[string]string) map[string]env.Setting {
	var environ []string
	for name, value := range values {
		environ = append(environ, name+"="+value)
	}
	byName := make(map[string]env.Setting)
	for _, s := range r.Settings(environ, noReason) {
		byName[s.Name] = s
	}
	return byName
}

func TestSettings(t *testing.T) {
	t.Parallel()
	const (
		name    = "OTEL_BSP_SCHEDULE_DELAY" // its default is not shown
		service = "OTEL_SERVICE_NAME"       // its default is
		other   = "OTEL_BLRP_SCHEDULE_DELAY"
	)
	milliseconds := func(r *env.Reader) { r.Milliseconds(name, time.Second, time.Millisecond) }
	tests := map[string]struct {
		values map[string]string
		read   func(r *env.Reader)
		name   string
		want   env.Setting // Problem: a part of it
		none   bool
	}{
		"a value is shown as it was understood": {
			values: map[string]string{name: " 1500 "}, read: milliseconds,
			name: name, want: env.Setting{Value: "1.5s", Origin: env.FromEnvironment},
		},
		"a default that is not asked for is left out": {
			read: milliseconds, name: name, none: true,
		},
		"a default that is asked for is shown": {
			read: func(r *env.Reader) { r.Holds(service, "shop", env.FromDefault) },
			name: service, want: env.Setting{Value: "shop", Origin: env.FromDefault},
		},
		"a value that is refused gives way to the default": {
			values: map[string]string{name: "soon"}, read: milliseconds,
			name: name, want: env.Setting{Value: "1s", Origin: env.FromDefault, Problem: `"soon": not a whole number of milliseconds in range, 1s is used; accepted: milliseconds`},
		},
		"a member that is refused leaves the others": {
			values: map[string]string{"OTEL_LOGS_EXPORTER": "OTLP,loki"},
			read:   func(r *env.Reader) { r.ListOf("OTEL_LOGS_EXPORTER", []string{"console"}, "otlp", "console") },
			name:   "OTEL_LOGS_EXPORTER", want: env.Setting{Value: "otlp", Origin: env.FromEnvironment, Problem: "member 2 is unknown"},
		},
		"a boolean that is refused is false": {
			values: map[string]string{"OTEL_SDK_DISABLED": "1"}, read: func(r *env.Reader) { r.Bool("OTEL_SDK_DISABLED") },
			name: "OTEL_SDK_DISABLED", want: env.Setting{Value: "false", Origin: env.FromDefault, Problem: "not a boolean"},
		},
		"a number that has no limit says so": {
			values: map[string]string{"OTEL_ATTRIBUTE_COUNT_LIMIT": "-2"}, read: func(r *env.Reader) { r.Int("OTEL_ATTRIBUTE_COUNT_LIMIT", -1, 0, 9) },
			name: "OTEL_ATTRIBUTE_COUNT_LIMIT", want: env.Setting{Value: "no limit", Origin: env.FromDefault, Problem: "not a number"},
		},
		"one of several values is shown in lower case": {
			values: map[string]string{"OTELMON_METRICS_PATH": "OTLP"}, read: func(r *env.Reader) { r.OneOf("OTELMON_METRICS_PATH", "", "otlp") },
			name: "OTELMON_METRICS_PATH", want: env.Setting{Value: "otlp", Origin: env.FromEnvironment},
		},
		"pairs are shown decoded": {
			values: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a=b%20c, d = e"}, read: func(r *env.Reader) { r.Pairs("OTEL_RESOURCE_ATTRIBUTES") },
			name: "OTEL_RESOURCE_ATTRIBUTES", want: env.Setting{Value: "a=b c,d=e", Origin: env.FromEnvironment},
		},
		"a field is in force": {
			read: func(r *env.Reader) { r.Field(name, "OTLP.Delay", "2s") },
			name: name, want: env.Setting{Value: "2s", Origin: env.FromCode, Field: "OTLP.Delay"},
		},
		"a field wins over the variable and over what was wrong with it": {
			values: map[string]string{name: "soon"},
			read:   func(r *env.Reader) { milliseconds(r); r.Field(name, "OTLP.Delay", "2s") },
			name:   name, want: env.Setting{Value: "2s", Origin: env.FromCode, Field: "OTLP.Delay", Problem: "the variable is ignored, because OTLP.Delay wins"},
		},
		"a field without a variable is shown once": {
			read: func(r *env.Reader) { r.Field("OTLP.Dial", "OTLP.Dial", "set") },
			name: "OTLP.Dial", want: env.Setting{Value: "set", Origin: env.FromCode},
		},
		"a field that is refused leaves the variable": {
			values: map[string]string{name: "1500"},
			read:   func(r *env.Reader) { r.Refuse(name, errors.New("OTLP.Delay=-1s: too short")); milliseconds(r) },
			name:   name, want: env.Setting{Value: "1.5s", Origin: env.FromEnvironment, Problem: "OTLP.Delay=-1s: too short"},
		},
		"several problems are all told, each once": {
			values: map[string]string{name: "1500"},
			read:   func(r *env.Reader) { r.Note(name, "one"); r.Note(name, "two"); r.Note(name, "one"); milliseconds(r) },
			name:   name, want: env.Setting{Value: "1.5s", Origin: env.FromEnvironment, Problem: "one; two"},
		},
		"a variable that only has a problem is shown as it was set": {
			values: map[string]string{name: "1500"}, read: func(r *env.Reader) { r.Note(name, other+" wins") },
			name: name, want: env.Setting{Value: "1500", Origin: env.FromEnvironment, Problem: other + " wins"},
		},
		"a problem of what is not set is none": {
			read: func(r *env.Reader) { r.Note(name, other+" wins") }, name: name, none: true,
		},
		"a variable that nobody read has the reason": {
			values: map[string]string{name: "1500"},
			name:   name, want: env.Setting{Value: "1500", Origin: env.FromEnvironment, Problem: "no reason"},
		},
		"a reader of a part records for the whole": {
			values: map[string]string{name: "1500"},
			read: func(r *env.Reader) {
				part := env.FromContext(env.NewContext(t.Context(), r))
				milliseconds(part)
				part.Report(name, "a reason")
				if r.Err() != nil || part.Err() == nil {
					t.Errorf("got errors %v and %v, want the part alone to have one", r.Err(), part.Err())
				}
			},
			name: name, want: env.Setting{Value: "1.5s", Origin: env.FromEnvironment, Problem: "a reason"},
		},
		"a variable that is misspelt has the right name": {
			values: map[string]string{"OTEL_SERVICENAME": "shop"},
			name:   "OTEL_SERVICENAME", want: env.Setting{Value: "(value not shown)", Origin: env.FromEnvironment, Problem: "not read by otelmon; did you mean OTEL_SERVICE_NAME?"},
		},
		"a variable in lower case has the right name": {
			values: map[string]string{"otel_service_name": "shop"},
			name:   "otel_service_name", want: env.Setting{Value: "(value not shown)", Origin: env.FromEnvironment, Problem: "did you mean OTEL_SERVICE_NAME?"},
		},
		"a signal that is misspelt has the right name": {
			values: map[string]string{"OTEL_EXPORTER_OTLP_TRACE_ENDPOINT": "collector:4317"},
			name:   "OTEL_EXPORTER_OTLP_TRACE_ENDPOINT", want: env.Setting{Value: "(value not shown)", Origin: env.FromEnvironment, Problem: "did you mean OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?"},
		},
		"a variable of other SDKs is not read": {
			values: map[string]string{"OTEL_JAVAAGENT_ENABLED": "true"},
			name:   "OTEL_JAVAAGENT_ENABLED", want: env.Setting{Value: "(value not shown)", Origin: env.FromEnvironment, Problem: "not read by otelmon"},
		},
		"an experiment of the SDK may be on": {
			values: map[string]string{"OTEL_GO_X_OBSERVABILITY": "true"},
			name:   "OTEL_GO_X_OBSERVABILITY", want: env.Setting{Value: "(value not shown)", Origin: env.FromEnvironment, Problem: "experiment of the OpenTelemetry SDK"},
		},
		"an unknown variable that is empty is not set": {
			values: map[string]string{"OTEL_SERVICENAME": " "}, name: "OTEL_SERVICENAME", none: true,
		},
		"a variable of anything else is left out": {
			values: map[string]string{"HTTP_PROXY": "proxy:3128"}, name: "HTTP_PROXY", none: true,
		},
		"a variable of the proxy is its own affair": {
			values: map[string]string{"OTELMON_PROXY_LISTEN": ":8080"}, name: "OTELMON_PROXY_LISTEN", none: true,
		},
		"what Kubernetes sets for a Service is left out": {
			values: map[string]string{"OTEL_COLLECTOR_SERVICE_HOST": "10.0.0.1", "OTEL_COLLECTOR_PORT_4317_TCP": "tcp://10.0.0.1:4317"},
			name:   "OTEL_COLLECTOR_PORT_4317_TCP", none: true,
		},
		"a port without a Service is not": {
			values: map[string]string{"OTEL_COLLECTOR_PORT": "4317"},
			name:   "OTEL_COLLECTOR_PORT", want: env.Setting{Value: "(value not shown)", Origin: env.FromEnvironment, Problem: "not read by otelmon"},
		},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(test.values)
			if test.read != nil {
				test.read(r)
			}
			got, ok := settings(r, test.values)[test.name]
			if ok == test.none {
				t.Fatalf("got %+v, want it there: %v", got, !test.none)
			}
			if test.none {
				return
			}
			if !strings.Contains(got.Problem, test.want.Problem) || (got.Problem == "") != (test.want.Problem == "") {
				t.Errorf("got problem %q, want %q", got.Problem, test.want.Problem)
			}
			test.want.Name, test.want.Problem = test.name, got.Problem
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("setting differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettingsAreSortedAndBounded(t *testing.T) {
	t.Parallel()
	values := map[string]string{"OTEL_SERVICE_NAME": strings.Repeat("é", 1000), "OTEL_PROPAGATORS": strings.Repeat("x,", 1000)}
	for i := range 300 {
		values[fmt.Sprintf("OTEL_X%d%s", i, strings.Repeat("ä", i))] = "x"
	}
	r := reader(values)
	r.Text("OTEL_SERVICE_NAME")
	r.ListOf("OTEL_PROPAGATORS", nil, "b3")
	var environ []string
	for name := range values {
		environ = append(environ, name+"=x")
	}
	got := r.Settings(environ, noReason)
	if len(got) != 102 {
		t.Errorf("got %d settings, want 2 and 100 that are not read", len(got))
	}
	if !slices.IsSortedFunc(got, func(a, b env.Setting) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the settings are not sorted by name")
	}
	for _, s := range got {
		if len(s.Name) > 260 || len(s.Value) > 260 || len(s.Problem) > 1100 {
			t.Errorf("got texts of %d, %d and %d bytes", len(s.Name), len(s.Value), len(s.Problem))
		}
	}
}

func FuzzSettings(f *testing.F) {
	for _, seed := range []string{"OTEL_SERVICE_NAME", "OTEL_SERVICENAME", "otelmon_\x1b[2J", "OTEL_\xff", "OTEL_EXPORTER_OTLP_HEADER"} {
		f.Add(seed, "shop")
	}
	f.Add("OTEL_SERVICE_NAME", "a\nb\x00\u202e")
	f.Fuzz(func(t *testing.T, name, value string) {
		values := map[string]string{name: value, "OTEL_EXPORTER_OTLP_HEADERS": value + "=" + canary}
		r := reader(values)
		r.Text(name)
		r.Report(name, value)
		r.Pairs("OTEL_EXPORTER_OTLP_HEADERS")
		for _, s := range r.Settings([]string{name + "=" + value}, noReason) {
			for _, text := range []string{s.Name, s.Value, s.Problem} {
				if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }) {
					t.Errorf("%q is not printable", text)
				}
				if strings.Contains(text, canary) {
					t.Errorf("%q shows a secret", text)
				}
			}
		}
	})
}
