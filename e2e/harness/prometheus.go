package harness

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// Prometheus is a running server and a client for its HTTP API.
type Prometheus struct {
	url     string
	process *Process
}

// StartFederation starts another Prometheus with the shipped example, which takes
// the recorded series and alerts of this one, and waits until it is ready. It ends
// with the test.
func (p *Prometheus) StartFederation(t testing.TB) *Prometheus {
	t.Helper()
	federation := startPrometheus(t, FreeAddress(t), Rewrite(t, "deploy/prometheus/examples/federation.yml", map[string]string{
		"scrape_interval: 30s": "scrape_interval: " + ScrapeInterval.String(),
		"scrape_timeout: 25s":  "scrape_timeout: " + ScrapeInterval.String(),
		"prometheus:9090":      strings.TrimPrefix(p.url, "http://"),
	}))
	federation.waitReady(t)
	return federation
}

// StartDiscovery starts a Prometheus with the shipped configuration that asks a name
// server for its targets, which offer their metrics on a port, and waits until it is
// ready. It ends with the test, which is skipped where a process cannot be given a
// name server of its own.
func StartDiscovery(t testing.TB, nameServer, port string) *Prometheus {
	t.Helper()
	resolver := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolver, []byte("nameserver "+nameServer+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	isolate := []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolver}
	if out, err := exec.CommandContext(t.Context(), isolate[0], append(isolate[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("a process cannot be given a name server here, which takes Linux and root: %v: %s", err, out)
	}
	p := startPrometheus(t, FreeAddress(t), Rewrite(t, "deploy/prometheus/prometheus.yml", map[string]string{
		"scrape_interval: 15s":  "scrape_interval: " + ScrapeInterval.String(),
		"scrape_timeout: 10s":   "scrape_timeout: " + ScrapeInterval.String(),
		"refresh_interval: 15s": "refresh_interval: " + ScrapeInterval.String(),
		"port: 9464":            "port: " + port,
	}), isolate...)
	p.waitReady(t)
	return p
}

// startPrometheus does not wait until the server is ready. Wrapper is a command that
// runs it, if any.
func startPrometheus(t testing.TB, address, config string, wrapper ...string) *Prometheus {
	t.Helper()
	command := slices.Concat(wrapper, []string{
		Tool(t, "prometheus"),
		"--config.file=" + config,
		"--storage.tsdb.path=" + t.TempDir(),
		"--web.listen-address=" + address,
	}, shippedFeatures(t))
	return &Prometheus{url: "http://" + address, process: Start(t, nil, command[0], command[1:]...)}
}

// URL returns where the API begins.
func (p *Prometheus) URL() string { return p.url }

func (p *Prometheus) waitReady(t testing.TB) {
	t.Helper()
	waitReady(t, p.process, p.url+"/-/ready")
}

// shippedFeatures returns the flags of docker-compose.yaml that turn features on, and
// those of retention.
func shippedFeatures(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(t), "docker-compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services struct{ Prometheus struct{ Command []string } }
	}
	if err := yaml.Unmarshal(b, &compose); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(compose.Services.Prometheus.Command, func(flag string) bool {
		return !strings.HasPrefix(flag, "--enable-feature=") && !strings.HasPrefix(flag, "--web.enable-") &&
			!strings.HasPrefix(flag, "--storage.tsdb.retention.")
	})
}

// A Sample is one element of an instant vector.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// An Exemplar is one that Prometheus stored, with the labels of its series.
type Exemplar struct {
	Series  map[string]string
	TraceID string
	Value   float64
}

// Query evaluates an expression now.
func (p *Prometheus) Query(expr string) ([]Sample, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	var samples []Sample
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", expr, err)
		}
		samples = append(samples, Sample{Labels: r.Metric, Value: v})
	}
	return samples, nil
}

// Scalar evaluates an expression that yields one number.
func (p *Prometheus) Scalar(expr string) (float64, error) {
	samples, err := p.Query(expr)
	if err != nil {
		return 0, err
	}
	if len(samples) != 1 {
		return 0, fmt.Errorf("%s: got %d series, want 1", expr, len(samples))
	}
	return samples[0].Value, nil
}

// Exemplars returns the exemplars of the last hour for a selector.
func (p *Prometheus) Exemplars(selector string) ([]Exemplar, error) {
	now := time.Now()
	args := url.Values{
		"query": {selector},
		"start": {strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)},
		"end":   {strconv.FormatInt(now.Add(time.Minute).Unix(), 10)},
	}
	var data []struct {
		SeriesLabels map[string]string
		Exemplars    []struct {
			Labels map[string]string
			Value  string
		}
	}
	if err := p.get("/api/v1/query_exemplars", args, &data); err != nil {
		return nil, err
	}
	var exemplars []Exemplar
	for _, series := range data {
		for _, e := range series.Exemplars {
			v, err := strconv.ParseFloat(e.Value, 64)
			if err != nil {
				return nil, fmt.Errorf("exemplar of %s: %w", selector, err)
			}
			exemplars = append(exemplars, Exemplar{Series: series.SeriesLabels, TraceID: e.Labels["trace_id"], Value: v})
		}
	}
	return exemplars, nil
}

// WaitIncrease waits until an expression has grown by at least delta from its
// value at the call, which tells that time has passed for Prometheus.
func (p *Prometheus) WaitIncrease(t testing.TB, expr string, delta float64) {
	t.Helper()
	var start float64
	Eventually(t, 30*time.Second, expr, func() (err error) {
		start, err = p.Scalar(expr)
		return err
	})
	Eventually(t, 30*time.Second, expr, func() error {
		now, err := p.Scalar(expr)
		if err == nil && now < start+delta {
			err = fmt.Errorf("grew from %v to %v, want %v more", start, now, delta)
		}
		return err
	})
}

func (p *Prometheus) get(path string, args url.Values, data any) error {
	body, err := Get(p.url + path + "?" + args.Encode())
	if err != nil {
		return err
	}
	return json.Unmarshal(body, &struct{ Data any }{Data: data})
}
