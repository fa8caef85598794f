package proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/otelmon/toolkit/internal/golden"
	"github.com/otelmon/toolkit/proxy"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := proxy.ReadFile("testdata/complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := proxy.Config{
		Upstreams: []proxy.Upstream{
			{
				Prefix: "/deepseek", URL: "https://api.deepseek.com", Name: "deepseek", Provider: "deepseek",
				Routes: []string{"/user/balance", "/v1/files/{id}"}, Timeout: 5 * time.Minute,
				TLS: proxy.ClientTLS{CAFile: "ca.pem", CertFile: "cert.pem", KeyFile: "key.pem", ServerName: "api.deepseek.com"},
			},
			{URL: "h2c://[::1]:8080/v1"},
		},
		Caller:       proxy.Caller{Header: "X-Team", Allowed: []string{"search", "ads"}},
		IncludeUsage: true, Models: []string{"deepseek-chat"}, PropagateTo: []string{".internal"}, PricesFile: "prices.yaml",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(proxy.Config{})); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	for field, want := range map[string]int{"prices_file": 23, "upstreams[1].url": 16, "upstreams[0].tls.none": 11} {
		same(t, "line of "+field, want, got.Line(field))
	}
	same(t, "line without a file", 0, want.Line("upstreams"))
}

func TestErrorsTellFileLineAndField(t *testing.T) {
	t.Parallel()
	golden.CheckErrors(t, "testdata/errors.yaml", func(path string) error {
		_, err := proxy.ReadFile(path)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a secret: %v", err)
		}
		return err
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "https://localhost"
	for name, test := range map[string]struct {
		cfg  proxy.Config
		want string
	}{
		"nothing":                    {proxy.Config{}, "upstreams: there is none"},
		"a URL without scheme":       {to("api.deepseek.com"), `upstreams[0].url: "api.deepseek.com" has no scheme; accepted: http, https or h2c`},
		"authorities not there":      {withTLS(proxy.ClientTLS{CAFile: "missing"}), "upstreams[0].tls.ca_file: open missing: "},
		"authorities that are none":  {withTLS(proxy.ClientTLS{CAFile: bad}), "upstreams[0].tls.ca_file: " + bad + " has no certificate"},
		"a certificate not there":    {withTLS(proxy.ClientTLS{CertFile: "missing", KeyFile: bad}), "upstreams[0].tls.cert_file, tls.key_file: open missing: "},
		"a certificate that is none": {withTLS(proxy.ClientTLS{CertFile: bad, KeyFile: bad}), "upstreams[0].tls.cert_file, tls.key_file: tls: "},
		"prices not there":           {proxy.Config{Upstreams: to(url).Upstreams, PricesFile: "missing"}, "prices_file: "},
		"prices that are none":       {proxy.Config{Upstreams: to(url).Upstreams, PricesFile: bad}, "prices_file: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := proxy.New(test.cfg)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || p != nil {
				t.Errorf("got %v, %v, want %s", p, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells what is in the file: %v", err)
			}
		})
	}
}

func withTLS(tls proxy.ClientTLS) proxy.Config {
	cfg := to("https://localhost")
	cfg.Upstreams[0].TLS = tls
	return cfg
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{"testdata/complete.yaml", "testdata/errors.yaml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n### ") {
			f.Add([]byte(part))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := proxy.Parse(data)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if strings.TrimLeft(strings.TrimPrefix(line, "line "), "0123456789") == line {
					t.Errorf("no line in %q", err)
				}
			}
			return
		}
		cfg.PricesFile, cfg.MeterProvider = "", noop.NewMeterProvider()
		for i := range cfg.Upstreams {
			cfg.Upstreams[i].TLS = proxy.ClientTLS{}
		}
		p, err := proxy.New(cfg)
		if err != nil {
			t.Fatalf("a configuration that was read is refused: %v", err)
		}
		p.Close()
	})
}
