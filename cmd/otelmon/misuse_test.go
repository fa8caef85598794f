package main

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrongFlagsAreRefused(t *testing.T) {
	t.Parallel()
	const missing = "--upstream: missing; accepted: a URL such as https://api.deepseek.com; /prefix=URL for several"
	const address = "; accepted: host:port, port 0 for any free one"
	one := func(args ...string) []string { return append([]string{"--upstream", "https://a"}, args...) }
	tests := map[string]struct {
		args []string
		want string
	}{
		"no upstream":                       {nil, missing},
		"a flag that there is not":          {[]string{"--upstreams", "http://a"}, "flag provided but not defined: --upstreams"},
		"a flag without its value":          {[]string{"--listen"}, "flag needs an argument: --listen"},
		"a malformed flag":                  {[]string{"---listen"}, "bad flag syntax: ---listen"},
		"an argument":                       {[]string{"--include-usage", "http://a"}, `unexpected argument "http://a"; accepted: flags alone`},
		"an upstream without a scheme":      {[]string{"--upstream", "api.deepseek.com"}, `--upstream: "api.deepseek.com" `},
		"an upstream with a foreign scheme": {[]string{"--upstream", "ftp://a"}, `--upstream: "ftp://a" `},
		"an upstream without a host":        {[]string{"--upstream", "https://"}, `--upstream: "https://" `},
		"a prefix without a URL":            {[]string{"--upstream", "/a"}, "--upstream: missing; accepted: "},
		"a prefix with a slash at its end":  {[]string{"--upstream", "/a/=http://a"}, `--upstream: "/a/"; accepted: `},
		"a prefix that is taken":            {[]string{"--upstream", "/a=http://a", "--upstream", "/a=http://b"}, `--upstream: "/a`},
		"a password is not shown":           {[]string{"--upstream", "http://ann:canary@a"}, `--upstream: "http://***@a" `},
		"a provider of several":             {[]string{"--upstream", "/a=http://a", "--upstream", "/b=http://b", "--provider", "x"}, `--provider="x": there are several upstreams; accepted: a name such as deepseek, for one upstream; for several, upstreams[].provider in the file`},
		"a timeout without a unit":          {one("--upstream-timeout", "90"), `--upstream-timeout="90": not a duration; accepted: a duration above 0, such as 90s or 10m`},
		"no time at all":                    {one("--upstream-timeout", "0s"), `--upstream-timeout="0s": not above 0; accepted: a duration above 0, such as 90s or 10m`},
		"authorities that are not there":    {one("--upstream-ca", "/nowhere.pem"), "--upstream-ca: open /nowhere.pem: no such file or directory"},
		"a key of upstreams alone":          {one("--upstream-key", "/nowhere.pem"), "--upstream-ca: one of cert_file and key_file is missing"},
		"hosts by a wildcard":               {one("--propagate-to", "*"), `--propagate-to: "*"; accepted: a host such as api.example.com, or .example.com with its subdomains`},
		"a provider in upper case":          {one("--provider", "DeepSeek"), `--provider: "DeepSeek"; accepted: a value of gen_ai.provider.name such as deepseek`},
		"a header without its values":       {one("--caller-header", "X-Team"), "--caller-allow: there is none; accepted: "},
		"values without their header":       {one("--caller-allow", "a"), "--caller-allow: there is no header; accepted: "},
		"a switch that is neither":          {one("--include-usage=perhaps"), `--include-usage="perhaps": neither true nor false; accepted: true or false`},
		"an address without a port":         {one("--listen", "localhost"), `--listen="localhost": not host:port` + address},
		"an address with a large port":      {one("--listen", ":65536"), `--listen=":65536": not a port` + address},
		"no address":                        {one("--listen", ""), `--listen: not host:port` + address},
		"metrics on a name alone":           {one("--metrics-listen", "metrics"), `--metrics-listen="metrics": not host:port` + address},
		"a drain without a unit":            {one("--drain", "30"), `--drain="30": not a duration; accepted: a duration such as 30s, 0s to cut requests off`},
		"a negative drain":                  {one("--drain", "-1s"), `--drain="-1s": negative; accepted: a duration such as 30s, 0s to cut requests off`},
		"a key without a certificate":       {one("--tls-key", "k"), `--tls-cert: missing beside --tls-key; accepted: a PEM file, together with --tls-key`},
		"a certificate without a key":       {one("--tls-cert", "c"), `--tls-key: missing beside --tls-cert; accepted: a PEM file, together with --tls-cert`},
		"authorities without a certificate": {one("--tls-client-ca", "c"), `--tls-cert: missing beside --tls-client-ca; accepted: a PEM file, together with --tls-key`},
		"a file that is not there":          {[]string{"--config", "/nowhere.yaml"}, `reading the configuration: open /nowhere.yaml: no such file or directory`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefusal(t, unset, test.args, test.want)
		})
	}
}

// wantRefusal checks how the complaint begins; what [proxy.New] says after the
// name of the flag is tested there.
func wantRefusal(t *testing.T, environ environment, args []string, want string) {
	t.Helper()
	code, stdout, stderr := answers(t, environ, append([]string{"proxy"}, args...)...)
	if code != 2 || stdout != "" {
		t.Errorf("got exit code %d and output %q, want 2 and none", code, stdout)
	}
	if !strings.HasPrefix(stderr, "otelmon proxy: "+want) || !strings.HasSuffix(stderr, "; see otelmon proxy --help\n") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("got complaint\n%swant one line that begins with\notelmon proxy: %s", stderr, want)
	}
}

func TestEachWrongUpstreamIsTold(t *testing.T) {
	t.Parallel()
	_, _, stderr := answers(t, unset, "proxy", "--upstream", "/a=first", "--upstream", "/b=second")
	lines := strings.Split(stderr, "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `otelmon proxy: --upstream: "first" `) || !strings.HasPrefix(lines[1], `otelmon proxy: --upstream: "second" `) {
		t.Errorf("got complaint\n%s", stderr)
	}
}

func TestWrongVariablesAreRefused(t *testing.T) {
	t.Parallel()
	environ := variables(map[string]string{"OTELMON_PROXY_UPSTREAM": "http://a", "OTELMON_PROXY_DRAIN": "soon"})
	wantRefusal(t, environ, nil, `OTELMON_PROXY_DRAIN="soon": not a duration; accepted: a duration such as 30s, 0s to cut requests off`)
	environ = variables(map[string]string{"OTELMON_PROXY_UPSTREAM": "http://a", "OTELMON_PROXY_LISTEN": "80"})
	wantRefusal(t, environ, nil, `OTELMON_PROXY_LISTEN="80": not host:port; accepted: host:port, port 0 for any free one`)
	environ = variables(map[string]string{"OTELMON_PROXY_UPSTREAM": "a"})
	wantRefusal(t, environ, nil, `OTELMON_PROXY_UPSTREAM: "a" `)
}

func TestUnknownVariablesAreTold(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"OTELMON_PROXY_UPSTREAMS": "otelmon proxy: OTELMON_PROXY_UPSTREAMS: no such variable; see otelmon proxy --help\n",
		"OTELMON_PROXY_":          "otelmon proxy: OTELMON_PROXY_: no such variable; see otelmon proxy --help\n",
		"OTELMON_PROXY_MODEL":     "",
		"OTELMON_PROXY_CONFIG":    "",
		"OTELMON_METRICS_PATH":    "", // of the toolkit
		// Of a Service of Kubernetes:
		"OTELMON_PROXY_SERVICE_HOST":         "",
		"OTELMON_PROXY_SERVICE_PORT":         "",
		"OTELMON_PROXY_SERVICE_PORT_HTTP":    "",
		"OTELMON_PROXY_PORT":                 "",
		"OTELMON_PROXY_PORT_8088_TCP":        "",
		"OTELMON_PROXY_PORT_8088_TCP_ADDR":   "",
		"OTELMON_PROXY_METRICS_SERVICE_HOST": "",
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, stderr := answers(t, environment{name + "=http://a"}, "proxy", "--drain", "soon")
			told, _, _ := strings.Cut(stderr, `otelmon proxy: --drain=`)
			told, _, _ = strings.Cut(told, "otelmon proxy: reading the configuration")
			if told != want {
				t.Errorf("got complaint %q, want %q", told, want)
			}
		})
	}
}

func TestWrongFilesAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		content, want string
	}{
		"not YAML":                   {"upstreams: [", ":1: "},
		"a key that there is not":    {"upstreams:\n  - url: http://a\nlisten: ':1'\n", ":3: listen: no such field; accepted: upstreams, caller, "},
		"a key of upstreams":         {"upstreams:\n  - ulr: http://a\n", ":2: upstreams[0].ulr: no such field; accepted: prefix, url, "},
		"no duration":                {"upstreams:\n  - url: http://a\n    timeout: often\n", ":3: "},
		"no upstream":                {"include_usage: true\n", ":1: upstreams: "},
		"prices that are not there":  {"upstreams:\n  - url: http://a\nprices_file: /nowhere.yaml\n", ":3: prices_file: opening the price book: open /nowhere.yaml: "},
		"authorities not there":      {"upstreams:\n  - url: https://a\n    tls:\n      ca_file: /nowhere.pem\n", ":4: upstreams[0].tls.ca_file: open /nowhere.pem: "},
		"an empty file":              {"", ":1: upstreams: "},
		"an upstream without scheme": {"upstreams:\n  - url: api.deepseek.com\n", `:2: upstreams[0].url: "api.deepseek.com" `},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, test.content)
			code, stdout, stderr := answers(t, unset, "proxy", "--config", path)
			if code != 2 || stdout != "" || strings.Count(stderr, "\n") != 1 {
				t.Errorf("got exit code %d and output %q, want 2, none and one line", code, stdout)
			}
			if want := "otelmon proxy: " + path + test.want; !strings.HasPrefix(stderr, want) {
				t.Errorf("got complaint %q, want %q", stderr, want)
			}
		})
	}
}

// What a file leaves to a flag is told in terms of the flag.
func TestAFlagThatDoesNotFitTheFileIsRefused(t *testing.T) {
	t.Parallel()
	path := write(t, "upstreams: [{url: http://a}]\ncaller: {header: X, allowed: [a]}\n")
	wantRefusal(t, unset, []string{"--config", path, "--upstream-ca", "ca.pem"}, "--upstream-ca: the url has scheme http; accepted: ")
	wantRefusal(t, unset, []string{"--config", path, "--caller-key-fingerprint"}, path+":2: caller: there are header and key_fingerprint; accepted: ")
}

func TestWrongCertificatesAreRefused(t *testing.T) {
	t.Parallel()
	files := certificateFiles(t, t.TempDir())
	tests := map[string]struct {
		args []string
		want string
	}{
		"a certificate that is not there": {[]string{"--tls-cert", "/nowhere.pem", "--tls-key", files.keyFile}, "/nowhere.pem"},
		"a key that is none":              {[]string{"--tls-cert", files.certFile, "--tls-key", files.certFile}, "certificate " + files.certFile},
		"authorities that are none":       {[]string{"--tls-cert", files.certFile, "--tls-key", files.keyFile, "--tls-client-ca", files.keyFile}, "no certificate in " + files.keyFile},
		"authorities that are not there":  {[]string{"--tls-cert", files.certFile, "--tls-key", files.keyFile, "--tls-client-ca", "/nowhere.pem"}, "/nowhere.pem"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := answers(t, unset, append([]string{"proxy", "--upstream", "http://a"}, test.args...)...)
			if code != 2 || !strings.Contains(stderr, test.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("got exit code %d and complaint %q, want 2 and %q", code, stderr, test.want)
			}
		})
	}
}

func TestAPriceBookThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "prices.yaml")
	code, _, stderr := answers(t, unset, "proxy", "--upstream", "http://a", "--prices", path)
	if code != 2 || !strings.Contains(stderr, path) {
		t.Errorf("got exit code %d and complaint %q", code, stderr)
	}
}

func TestAnAddressInUseIsAFailure(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var stderr strings.Builder
	code := run(t.Context(), []string{"proxy", "--upstream", "http://a", "--listen", taken.Addr().String()}, unset, io.Discard, &stderr)
	want := "otelmon proxy: listen tcp " + taken.Addr().String() + ": bind: address already in use; choose another address with --listen\n"
	if code != 1 || stderr.String() != want {
		t.Errorf("got exit code %d and complaint %q, want 1 and %q", code, stderr.String(), want)
	}
}
