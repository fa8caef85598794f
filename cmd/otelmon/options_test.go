package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/proxy"
)

func variables(values map[string]string) (e environment) {
	for name, value := range values {
		e = append(e, name+"="+value)
	}
	return e
}

func write(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "proxy.yaml")
	overwrite(t, path, content)
	return path
}

func overwrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sample is a setting with a value for each place that it can come from.
type sample struct {
	file                 string // YAML with %s for inFile; "" if it is not there
	inFile, inVar, given string
	get                  func(o options) any
}

func upstream(o options) proxy.Upstream { return o.proxy.Upstreams[0] }

// samples have a row for each setting but --config.
func samples() map[string]sample {
	const one = "upstreams: [{url: https://file}]\n"
	return map[string]sample{
		"upstream":         {"upstreams: [{url: '%s'}]", "http://a", "http://b", "http://c", func(o options) any { return upstream(o).URL }},
		"provider":         {"upstreams: [{url: https://a, provider: %s}]", "a", "b", "c", func(o options) any { return upstream(o).Provider }},
		"route":            {"upstreams: [{url: https://a, routes: ['%s']}]", "/a/{id}", "/b/{id}", "/c/{id}", func(o options) any { return upstream(o).Routes[0] }},
		"upstream-timeout": {"upstreams: [{url: https://a, timeout: %s}]", "1s", "2s", "3s", func(o options) any { return upstream(o).Timeout.String() }},
		"upstream-ca":      {"upstreams: [{url: https://a, tls: {ca_file: %s}}]", "a", "b", "c", func(o options) any { return upstream(o).TLS.CAFile }},
		"upstream-cert":    {"upstreams: [{url: https://a, tls: {cert_file: %s, key_file: k}}]", "a", "b", "c", func(o options) any { return upstream(o).TLS.CertFile }},
		"upstream-key":     {"upstreams: [{url: https://a, tls: {key_file: %s, cert_file: c}}]", "a", "b", "c", func(o options) any { return upstream(o).TLS.KeyFile }},
		"include-usage":    {one + "include_usage: %s", "true", "false", "true", func(o options) any { return fmt.Sprint(o.proxy.IncludeUsage) }},
		"model":            {one + "models: [%s]", "a", "b", "c", func(o options) any { return o.proxy.Models[0] }},
		"prices":           {one + "prices_file: %s", "a", "b", "c", func(o options) any { return o.proxy.PricesFile }},
		"propagate-to":     {one + "propagate_to: [%s]", "a", "b", "c", func(o options) any { return o.proxy.PropagateTo[0] }},
		"caller-header":    {one + "caller: {header: %s, allowed: [a]}", "A", "B", "C", func(o options) any { return o.proxy.Caller.Header }},
		"caller-allow":     {one + "caller: {header: X, allowed: [%s]}", "a", "b", "c", func(o options) any { return o.proxy.Caller.Allowed[0] }},
		"caller-key-fingerprint": {one + "caller: {key_fingerprint: %s}", "true", "false", "true", func(o options) any {
			return fmt.Sprint(o.proxy.Caller.KeyFingerprint)
		}},
		"listen":         {"", "127.0.0.1:8088", ":2", ":3", func(o options) any { return o.listen }},
		"metrics-listen": {"", "", ":2", ":3", func(o options) any { return o.metricsListen }},
		"tls-cert":       {"", "", "b", "c", func(o options) any { return o.tls.certFile }},
		"tls-key":        {"", "", "b", "c", func(o options) any { return o.tls.keyFile }},
		"tls-client-ca":  {"", "", "b", "c", func(o options) any { return o.tls.clientCAFile }},
		"drain":          {"", "30s", "2s", "3s", func(o options) any { return o.drain.String() }},
	}
}

func TestFlagsBeatVariablesWhichBeatTheFile(t *testing.T) {
	t.Parallel()
	rows := samples()
	for _, s := range settings() {
		row, ok := rows[s.flag]
		if !ok {
			t.Errorf("--%s has no row", s.flag)
			continue
		}
		delete(rows, s.flag)
		t.Run(s.flag, func(t *testing.T) {
			t.Parallel()
			content := "upstreams: [{url: https://file}]"
			if (row.file == "") != (s.key == "") {
				t.Errorf("the row has file %q, the setting key %q", row.file, s.key)
			}
			if row.file != "" {
				content = fmt.Sprintf(row.file, row.inFile)
			}
			path := write(t, content)
			inVar := map[string]string{s.variable(): row.inVar, "OTELMON_PROXY_CONFIG": path}
			flag := []string{"--" + s.flag + "=" + row.given}
			read(t, row, row.inFile, map[string]string{"OTELMON_PROXY_CONFIG": path}, nil)
			read(t, row, row.inVar, inVar, nil)
			read(t, row, row.given, inVar, flag)
		})
	}
	for flag := range rows {
		t.Errorf("there is no --%s", flag)
	}
}

func read(t *testing.T, row sample, want string, inVar map[string]string, flags []string) {
	t.Helper()
	given, _, err := parse(flags)
	if err != nil {
		t.Fatal(err)
	}
	o, err := sources{given, variables(inVar)}.read()
	if err != nil {
		t.Fatal(err)
	}
	if got := row.get(o); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	plain := proxy.Config{Upstreams: []proxy.Upstream{{URL: "http://a"}}}
	several := proxy.Config{Upstreams: []proxy.Upstream{{Prefix: "/a", URL: "http://a/x=1"}, {Prefix: "/b", URL: "h2c://b"}}}
	withRoutes := proxy.Config{Upstreams: []proxy.Upstream{
		{Prefix: "/a", URL: "http://a", Routes: []string{"/x/{id}"}},
		{Prefix: "/b", URL: "http://b", Routes: []string{"/x/{id}"}},
	}}
	withUsage := plain
	withUsage.IncludeUsage = true
	withPrices := plain
	withPrices.PricesFile = "a,b"
	defaults := options{proxy: plain, listen: "127.0.0.1:8088", drain: 30 * time.Second}
	with := func(change func(*options)) options {
		o := defaults
		change(&o)
		return o
	}
	tests := map[string]struct {
		args []string
		vars map[string]string
		want options
	}{
		"the defaults":                         {args: []string{"--upstream", "http://a"}, want: defaults},
		"a single dash":                        {args: []string{"-upstream=http://a"}, want: defaults},
		"of a repeated flag the last counts":   {args: []string{"--upstream", "http://a", "--drain", "1s", "--drain", "0"}, want: with(func(o *options) { o.drain = 0 })},
		"several upstreams":                    {args: []string{"--upstream", "/a=http://a/x=1", "--upstream", "/b=h2c://b"}, want: with(func(o *options) { o.proxy = several })},
		"several upstreams in a variable":      {vars: map[string]string{"OTELMON_PROXY_UPSTREAM": "/a=http://a/x=1, /b=h2c://b,"}, want: with(func(o *options) { o.proxy = several })},
		"a switch by its name":                 {args: []string{"--upstream", "http://a", "--include-usage"}, want: with(func(o *options) { o.proxy = withUsage })},
		"a switch off wins over its variable":  {args: []string{"--upstream", "http://a", "--include-usage=false"}, vars: map[string]string{"OTELMON_PROXY_INCLUDE_USAGE": "true"}, want: defaults},
		"an empty variable counts as unset":    {args: []string{"--upstream", "http://a"}, vars: map[string]string{"OTELMON_PROXY_LISTEN": " "}, want: defaults},
		"a variable of one value keeps commas": {args: []string{"--upstream", "http://a"}, vars: map[string]string{"OTELMON_PROXY_PRICES": "a,b"}, want: with(func(o *options) { o.proxy = withPrices })},
		"routes are those of all upstreams":    {args: []string{"--upstream", "/a=http://a", "--upstream", "/b=http://b", "--route", "/x/{id}"}, want: with(func(o *options) { o.proxy = withRoutes })},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given, _, err := parse(test.args)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sources{given, variables(test.vars)}.read()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(options{}, listenerTLS{}), cmpopts.IgnoreUnexported(proxy.Config{})); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

// The page has one table of settings, which is made from them.
func TestPageListsTheSettings(t *testing.T) {
	t.Parallel()
	const (
		page  = "../../docs/proxy.md"
		begin = "<!-- The table is made by go test ./cmd/otelmon -update -->\n"
		end   = "<!-- End of the table -->\n"
	)
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", page)
	}
	golden.Check(t, page, []byte(before+begin+table()+end+after))
}

func table() string {
	var b strings.Builder
	b.WriteString("\n| Flag | Variable | Key of the file | Default | Meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range append([]setting{fileSetting()}, settings()...) {
		flag := strings.TrimRight("--"+s.flag+" "+s.argument, " ")
		meaning := s.meaning
		if s.list {
			meaning += "; may be repeated"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", flag, s.variable(), code(s.key), dash(s.byDefault), meaning)
	}
	return b.String() + "\n"
}

func code(text string) string {
	if text == "" {
		return "-"
	}
	return "`" + text + "`"
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// The example shows each key, and is accepted.
func TestExampleFileIsComplete(t *testing.T) {
	t.Parallel()
	const path = "../../deploy/proxy/proxy.yaml"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		if key := s.key[strings.LastIndex(s.key, ".")+1:]; !strings.Contains(string(content), key+":") {
			t.Errorf("%s does not show %s", path, s.key)
		}
	}
	from := sources{map[string][]string{"config": {path}}, unset}
	o, err := from.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := from.try(o); err != nil {
		t.Error(err)
	}
}
