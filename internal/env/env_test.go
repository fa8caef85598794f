package env_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/env"
)

// canary stands for a secret that no error may show.
const canary = "CANARY"

func reader(values map[string]string) *env.Reader {
	return &env.Reader{Lookup: func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}}
}

// checkErr wants an error that says each of the words, or none at all.
func checkErr(t *testing.T, err error, words ...string) {
	t.Helper()
	if len(words) == 0 && err != nil {
		t.Errorf("got error %v, want none", err)
	}
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("got error %v, want it to say %q", err, word)
		}
	}
}

func TestReaderReadsTheProcess(t *testing.T) { // not parallel: it sets a variable
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	if got := (&env.Reader{}).String("OTEL_SERVICE_NAME"); got != "shop" {
		t.Errorf("got %q, want shop", got)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	const name = "OTEL_SERVICE_NAME"
	tests := map[string]struct {
		values  map[string]string
		want    string
		wantErr []string
	}{
		"an unset variable is empty":        {},
		"an empty variable is empty":        {values: map[string]string{name: ""}},
		"spaces alone are empty":            {values: map[string]string{name: " \t\n"}},
		"spaces around the value are cut":   {values: map[string]string{name: "  a b "}, want: "a b"},
		"invalid UTF-8 is replaced":         {values: map[string]string{name: "a\xffb"}, want: "a\uFFFDb", wantErr: []string{name, `"a\xffb"`, "UTF-8", "accepted: UTF-8 text"}},
		"a long value is shown in part":     {values: map[string]string{name: strings.Repeat("é", 80) + "\xff"}, want: strings.Repeat("é", 80) + "\uFFFD", wantErr: []string{strings.Repeat("é", 50) + `..."`}},
		"text beyond ASCII passes unharmed": {values: map[string]string{name: "Zürich"}, want: "Zürich"},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(test.values)
			if got := r.Text(name); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			checkErr(t, r.Err(), test.wantErr...)
		})
	}
}

func TestBool(t *testing.T) {
	t.Parallel()
	const name = "OTEL_SDK_DISABLED"
	tests := map[string]struct {
		value   string
		want    bool
		wantErr []string
	}{
		"an empty variable is false":    {},
		"spaces alone are false":        {value: "  "},
		"true is true":                  {value: "true", want: true},
		"true is true in any case":      {value: " TrUe ", want: true},
		"false is false":                {value: "FALSE"},
		"a number is false and wrong":   {value: "1", wantErr: []string{`OTEL_SDK_DISABLED="1"`, "taken as false", "accepted: true or false"}},
		"yes is false and wrong":        {value: "yes", wantErr: []string{`="yes"`}},
		"a quoted true is not unquoted": {value: `"true"`, wantErr: []string{`="\"true\""`}},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(map[string]string{name: test.value})
			if got := r.Bool(name); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			checkErr(t, r.Err(), test.wantErr...)
		})
	}
}

func TestInt(t *testing.T) {
	t.Parallel()
	const name = "OTEL_BSP_MAX_QUEUE_SIZE"
	wrong := func(value string) []string {
		return []string{name + "=" + fmt.Sprintf("%q", value), "7 is used", "accepted: a number, 1 to 1000000"}
	}
	tests := map[string]struct {
		value   string
		want    int
		wantErr []string
	}{
		"an empty variable is the fallback":  {want: 7},
		"spaces alone are the fallback":      {value: " ", want: 7},
		"a number is taken":                  {value: " 12 ", want: 12},
		"the least is taken":                 {value: "1", want: 1},
		"the most is taken":                  {value: "1000000", want: 1_000_000},
		"less than the least is wrong":       {value: "0", want: 7, wantErr: wrong("0")},
		"more than the most is wrong":        {value: "1000001", want: 7, wantErr: wrong("1000001")},
		"a negative number is wrong":         {value: "-5", want: 7, wantErr: wrong("-5")},
		"a number beyond 64 bits is wrong":   {value: "99999999999999999999", want: 7, wantErr: wrong("99999999999999999999")},
		"a fraction is wrong":                {value: "1.5", want: 7, wantErr: wrong("1.5")},
		"text is wrong":                      {value: "many", want: 7, wantErr: wrong("many")},
		"a number with a separator is wrong": {value: "1_000", want: 7, wantErr: wrong("1_000")},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(map[string]string{name: test.value})
			if got := r.Int(name, 7, 1, 1_000_000); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
			checkErr(t, r.Err(), test.wantErr...)
		})
	}
}

func TestMilliseconds(t *testing.T) {
	t.Parallel()
	const name = "OTEL_BSP_SCHEDULE_DELAY"
	wrong := func(value string) []string {
		return []string{name + "=" + fmt.Sprintf("%q", value), "1s is used", "accepted: milliseconds, 1 to 86400000"}
	}
	tests := map[string]struct {
		value   string
		want    time.Duration
		wantErr []string
	}{
		"an empty variable is the fallback": {want: time.Second},
		"a number is milliseconds":          {value: "250", want: 250 * time.Millisecond},
		"a day is taken":                    {value: "86400000", want: 24 * time.Hour},
		"more than a day is wrong":          {value: "86400001", want: time.Second, wantErr: wrong("86400001")},
		"zero is wrong":                     {value: "0", want: time.Second, wantErr: wrong("0")},
		"a negative number is wrong":        {value: "-1", want: time.Second, wantErr: wrong("-1")},
		"a duration with a unit is wrong":   {value: "10s", want: time.Second, wantErr: wrong("10s")},
		"the largest number is wrong":       {value: fmt.Sprint(math.MaxInt64), want: time.Second, wantErr: wrong(fmt.Sprint(math.MaxInt64))},
		"a number beyond 64 bits is wrong":  {value: "9223372036854775808", want: time.Second, wantErr: wrong("9223372036854775808")},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(map[string]string{name: test.value})
			if got := r.Milliseconds(name, time.Second, time.Millisecond); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			checkErr(t, r.Err(), test.wantErr...)
		})
	}
}

func TestOneOf(t *testing.T) {
	t.Parallel()
	const name = "OTEL_EXPORTER_OTLP_COMPRESSION"
	tests := map[string]struct {
		value, fallback, want string
		wantErr               []string
	}{
		"an empty variable is the fallback":     {fallback: "gzip", want: "gzip"},
		"an accepted value is taken":            {value: "none", fallback: "gzip", want: "none"},
		"case and spaces do not matter":         {value: " NONE ", fallback: "gzip", want: "none"},
		"an unknown value is the fallback":      {value: "zstd", fallback: "gzip", want: "gzip", wantErr: []string{name + `="zstd"`, `"gzip" is used`, "accepted: gzip or none"}},
		"an empty fallback is not spoken about": {value: "zstd", wantErr: []string{`="zstd": unknown value; accepted`}},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(map[string]string{name: test.value})
			if got := r.OneOf(name, test.fallback, "gzip", "none"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			checkErr(t, r.Err(), test.wantErr...)
		})
	}
}

func TestListOf(t *testing.T) {
	t.Parallel()
	const name = "OTEL_METRICS_EXPORTER"
	tests := map[string]struct {
		value   string
		want    []string
		wantErr []string
	}{
		"an empty variable is the fallback": {want: []string{"otlp"}},
		"commas alone are the fallback":     {value: " , ,", want: []string{"otlp"}},
		"values keep their order":           {value: "prometheus, Console", want: []string{"prometheus", "console"}},
		"repeats are left out":              {value: "otlp,otlp", want: []string{"otlp"}},
		"unknown values are left out":       {value: "otlp,kafka", want: []string{"otlp"}, wantErr: []string{name + `="otlp,kafka"`, "member 2 is unknown and left out", "accepted: prometheus, otlp, console or none"}},
		"unknown values alone are wrong":    {value: "kafka", want: []string{"otlp"}, wantErr: []string{`="kafka"`}},
		"each unknown value is named":       {value: "kafka,,otlp,zipkin", want: []string{"otlp"}, wantErr: []string{"member 1 is unknown", "member 3 is unknown"}},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(map[string]string{name: test.value})
			got := r.ListOf(name, []string{"otlp"}, "prometheus", "otlp", "console", "none")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("values differ (-want +got):\n%s", diff)
			}
			checkErr(t, r.Err(), test.wantErr...)
		})
	}
}

func TestPairs(t *testing.T) {
	t.Parallel()
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	tests := map[string]struct {
		value   string
		want    []env.Pair
		wantBad bool
		wantErr []string
	}{
		"an empty variable has no pairs":        {},
		"pairs keep their order":                {value: "b=2,a=1", want: []env.Pair{{"b", "2"}, {"a", "1"}}},
		"spaces and empty members do not count": {value: " a = 1 ,, b=2 ,", want: []env.Pair{{"a", "1"}, {"b", "2"}}},
		"keys and values are percent-decoded":   {value: "a%2Cb=x%3Dy%20z", want: []env.Pair{{"a,b", "x=y z"}}},
		"a plus sign stays a plus sign":         {value: "a=1+1", want: []env.Pair{{"a", "1+1"}}},
		"a value may be empty":                  {value: "a=", want: []env.Pair{{"a", ""}}},
		"a value may hold an equals sign":       {value: "a=b=c", want: []env.Pair{{"a", "b=c"}}},
		"of equal keys the last one holds":      {value: "a=1,b=2,a=3", want: []env.Pair{{"b", "2"}, {"a", "3"}}, wantErr: []string{name, "member 3 repeats a key"}},
		"a member without = is left out":        {value: "a,b=2", want: []env.Pair{{"b", "2"}}, wantBad: true, wantErr: []string{"member 1 has no ="}},
		"a bad escape is left out":              {value: "a=1,b=%zz", want: []env.Pair{{"a", "1"}}, wantBad: true, wantErr: []string{"member 2 has a malformed percent-encoding"}},
		"each malformed member is reported":     {value: "a,b=%zz", wantBad: true, wantErr: []string{name + `="a,b=%zz"`, "member 1 has no =", "member 2 has a malformed percent-encoding", "accepted: key=value pairs"}},
		"a bad escape in a key is left out":     {value: "%zz=1", wantBad: true, wantErr: []string{"member 1 has a malformed key"}},
		"an empty key is left out":              {value: "=1", wantBad: true, wantErr: []string{"malformed key"}},
		"invalid UTF-8 is replaced":             {value: "a=%ff", want: []env.Pair{{"a", "\uFFFD"}}, wantBad: true, wantErr: []string{"not valid UTF-8"}},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r := reader(map[string]string{name: test.value})
			got, ok := r.Pairs(name)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("pairs differ (-want +got):\n%s", diff)
			}
			if ok == test.wantBad {
				t.Errorf("got ok %v, want %v", ok, !test.wantBad)
			}
			checkErr(t, r.Err(), test.wantErr...)
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ name, value string }{
		"headers are not shown":                     {"OTEL_EXPORTER_OTLP_HEADERS", "Bearer " + canary},
		"headers of a signal are not shown":         {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=%zz" + canary},
		"a URL is not shown":                        {"OTELMON_PUSHGATEWAY_URL", "http://gateway/" + canary},
		"an endpoint with credentials is not shown": {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + canary + "@collector:4318"},
		"an endpoint with a query is not shown":     {"OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector/?api-key=" + canary},
		"an endpoint with a fragment is not shown":  {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "collector:4318#" + canary},
		"a field with a query is not shown":         {"OTLP.Endpoint", "collector:4318?" + canary},
		"a list with credentials is not shown":      {"OTEL_TRACES_EXPORTER", "otlp,https://user:" + canary + "@collector"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reader(map[string]string{test.name: test.value})
			_, _ = r.Pairs(test.name) // what these report is looked at below
			_ = r.ListOf(test.name, nil, "otlp")
			r.Report(test.name, "a reason")
			checkErr(t, r.Err(), test.name, "value not shown", "a reason", "accepted: ")
			if strings.Contains(r.Err().Error(), canary) {
				t.Errorf("the error shows the value: %v", r.Err())
			}
		})
	}
}

func TestErrorsAreKeptOnce(t *testing.T) {
	t.Parallel()
	r := reader(nil)
	r.Add(nil)
	checkErr(t, r.Err())
	first := errors.New("first")
	r.Add(first)
	r.Add(errors.New("second"))
	r.Add(errors.New("first"))
	if got, want := r.Err().Error(), "first\nsecond"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(r.Err(), first) {
		t.Error("the error that was added is not in the chain")
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	variables := env.Variables()
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = v.Name
		if v.Name == "" || v.Accepted == "" || v.Meaning == "" {
			t.Errorf("a field is missing: %+v", v)
		}
	}
	if !slices.IsSorted(names) {
		t.Error("the variables are not sorted by name")
	}
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("got %d names, %d of them unique", len(names), len(unique))
	}
	for _, want := range []string{"OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "OTEL_EXPORTER_PROMETHEUS_PORT", "K8S_POD_NAME"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func FuzzPairs(f *testing.F) {
	for _, seed := range []string{"", "a=1", "a,b=%zz", "a=1,a=2", "%ff=\xff", "=", ",,", " a = %20 ", "a%2Cb=c%3Dd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		const headers = "OTEL_EXPORTER_OTLP_HEADERS"
		r := reader(map[string]string{headers: list + "," + canary + "=%zz" + canary})
		pairs, ok := r.Pairs(headers)
		if ok {
			t.Error("the malformed last member was accepted")
		}
		seen := make(map[string]bool)
		for _, pair := range pairs {
			if pair.Key == "" || seen[pair.Key] {
				t.Errorf("the key %q is empty or repeated", pair.Key)
			}
			seen[pair.Key] = true
			if !utf8.ValidString(pair.Key) || !utf8.ValidString(pair.Value) {
				t.Errorf("got %q, want valid UTF-8", pair)
			}
		}
		if err := r.Err(); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("got error %v, want one without the value", err)
		}
	})
}
