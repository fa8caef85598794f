package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/otelmon/toolkit/e2e/harness"
)

func TestPrometheusExamplesAreValid(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Glob(filepath.Join(harness.Root(t), "deploy/prometheus/examples/*.yml"))
	if err != nil || len(examples) < 4 {
		t.Fatalf("examples: got %v, %v", examples, err)
	}
	for _, example := range examples {
		run(t, harness.Tool(t, "promtool"), "check", "config", "--lint=all", "--lint-fatal", example)
	}
}

// What remote write takes is what federation takes.
func TestRemoteWriteTakesWhatFederationTakes(t *testing.T) {
	t.Parallel()
	var config struct {
		RemoteWrite []struct {
			Relabel []struct{ Regex, Action string } `yaml:"write_relabel_configs"`
		} `yaml:"remote_write"`
	}
	readYAML(t, "deploy/prometheus/examples/remote-write.yml", &config)
	for name, want := range map[string]bool{
		"service:http_server_requests:rate5m":  true,
		"slo:error_budget_remaining:ratio30d":  true,
		"target_info":                          true,
		"ALERTS":                               true,
		"instance:go_goroutine_count:max":      false,
		"instance_route:anything:rate5m":       false,
		"cloud_region:geohash:info":            false,
		"http_server_request_duration_seconds": false,
		"ALERTS_FOR_STATE":                     false,
	} {
		taken := true
		for _, relabel := range config.RemoteWrite[0].Relabel {
			matches := regexp.MustCompile("^(?:" + relabel.Regex + ")$").MatchString(name)
			taken = taken && matches == (relabel.Action == "keep")
		}
		if taken != want {
			t.Errorf("%s: taken is %v, want %v", name, taken, want)
		}
	}
}

// It starts two Prometheus servers and shares two cores with them, so that it does
// not run in parallel.
func TestPrometheusOfServices(t *testing.T) {
	stack := harness.StartStack(t)
	quickstart := buildExample(t, "quickstart")
	services := map[string]service{
		"scraped": startService(t, stack, quickstart, "scraped", "0.0.0.0"),
		"pushed":  startService(t, stack, quickstart, "pushed", ""),
	}
	for name, s := range services {
		t.Run("a service that is "+name+" shows its first error", func(t *testing.T) {
			testFirstError(t, stack, s)
		})
		t.Run("target_info of a service that is "+name+" has what is not promoted", func(t *testing.T) {
			testTargetInfo(t, stack, s)
		})
	}
	t.Run("what the Collector held back for most of a day is stored", func(t *testing.T) {
		testLateSamples(t, stack)
	})
	t.Run("federation takes what dashboards of services need", func(t *testing.T) {
		testFederation(t, stack, len(services))
	})
}

// testFirstError sends the first request that fails some time after others. Its
// counter is born as 1, of which a rate alone sees no increase.
func testFirstError(t *testing.T, stack *harness.Stack, s service) {
	total := fmt.Sprintf(`sum(%s_count{service_name=%q, http_route="/orders"})`, duration, s.name)
	s.send(t, 1, request{method: "POST", path: "/orders", body: `{"product":"7","quantity":1}`, route: "/orders", times: 1})
	harness.Eventually(t, arrival, total, func() error {
		_, err := stack.Prometheus.Scalar(total)
		return err
	})
	stack.Prometheus.WaitIncrease(t, "vector(time())", 8)

	s.send(t, 1, request{method: "POST", path: "/orders", body: `{"product":"7","quantity":1}`, route: "/orders", times: 19})
	failed := fmt.Sprintf(`service_route:http_server_errors:rate5m{service_name=%q, http_route="/orders"} > 0`, s.name)
	harness.Eventually(t, arrival, failed, func() error {
		_, err := stack.Prometheus.Scalar(failed)
		return err
	})
}

// testTargetInfo looks for what the rules of regions join.
func testTargetInfo(t *testing.T, stack *harness.Stack, s service) {
	infos, err := stack.Prometheus.Query(fmt.Sprintf(`target_info{service_name=%q}`, s.name))
	if err != nil || len(infos) != 1 {
		t.Fatalf("target_info: got %v, %v, want one", infos, err)
	}
	if got := infos[0].Labels["cloud_region"]; got != region {
		t.Errorf("cloud_region: got %q, want %q", got, region)
	}
	promoted, err := stack.Prometheus.Query(fmt.Sprintf(`%s_count{service_name=%q, cloud_region!=""}`, duration, s.name))
	if err != nil || len(promoted) > 0 {
		t.Errorf("series with cloud_region: got %v, %v, want none", promoted, err)
	}
}

// testLateSamples sends what is older than the newest sample of its series, as a
// Collector does that was cut off.
func testLateSamples(t *testing.T, stack *harness.Stack) {
	client := collectormetrics.NewMetricsServiceClient(dialCollector(t, stack.Collector))
	ages := []time.Duration{0, 4000 * time.Second, 23 * time.Hour}
	for i, age := range ages {
		if err := sendGauge(t, client, "held_back", time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		const stored = `count_over_time(held_back[1d])`
		harness.Eventually(t, arrival, stored, func() error {
			got, err := stack.Prometheus.Scalar(stored)
			if err == nil && int(got) != i+1 {
				err = fmt.Errorf("got %v samples, want %d, the last %v old", got, i+1, age)
			}
			return err
		})
	}
}

func sendGauge(t *testing.T, client collectormetrics.MetricsServiceClient, name string, at time.Time) error {
	t.Helper()
	point := &metrics.NumberDataPoint{TimeUnixNano: uint64(at.UnixNano()), Value: &metrics.NumberDataPoint_AsInt{AsInt: 1}}
	gauge := &metrics.Metric{Name: name, Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{point}}}}
	_, err := client.Export(t.Context(), &collectormetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		Resource:     &resource.Resource{Attributes: keyValues(map[string]string{"service.name": "late"})},
		ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{gauge}}},
	}}})
	return err
}

func testFederation(t *testing.T, stack *harness.Stack, services int) {
	federation := stack.Prometheus.StartFederation(t)
	const recorded = `count(service:http_server_requests:rate5m{prometheus="otelmon"})`
	harness.Eventually(t, arrival, recorded, func() error {
		got, err := federation.Scalar(recorded)
		if err == nil && int(got) != services {
			err = fmt.Errorf("got %v series, want %d", got, services)
		}
		return err
	})
	const listed = `count(count by (service_name) (target_info{service_name=~"scraped|pushed", prometheus="otelmon"}))`
	harness.Eventually(t, arrival, listed, func() error {
		got, err := federation.Scalar(listed)
		if err == nil && int(got) != services {
			err = fmt.Errorf("got %v services, want %d", got, services)
		}
		return err
	})
	harness.Eventually(t, arrival, "ALERTS", func() error {
		_, err := federation.Scalar(`ALERTS{alertname="Watchdog", prometheus="otelmon"}`)
		return err
	})
	// What a Prometheus adds about its scrapes is its own.
	names, err := federation.Query(`count by (__name__) ({__name__=~".+", __name__!~"up|scrape_.+"})`)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal(errors.New("there are no series"))
	}
	for _, n := range names {
		name := n.Labels["__name__"]
		if !slices.Contains([]string{"ALERTS", "target_info"}, name) && !strings.Contains(name, ":") {
			t.Errorf("%s is neither recorded nor an alert nor target_info", name)
		}
		if strings.HasPrefix(name, "instance") || strings.HasPrefix(name, "cloud_region:") {
			t.Errorf("%s is of instances or a constant", name)
		}
	}
}

// The targets of docker-compose.yaml come from DNS, so that a service whose profile
// is off is no target that is down.
func TestDiscoveryByDNS(t *testing.T) {
	names := startNameServer(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "page 1") }))
	t.Cleanup(page.Close)
	_, port, err := net.SplitHostPort(page.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	prometheus := harness.StartDiscovery(t, names.address, port)
	const targets = `up{job=~"otelmon|loki"}`

	names.set("quickstart.")
	harness.Eventually(t, arrival, "the service that DNS knows", func() error {
		got, err := prometheus.Query(targets)
		if err == nil && len(got) != 1 {
			err = fmt.Errorf("got %v, want one", got)
		}
		if err == nil && (got[0].Value != 1 || got[0].Labels["instance"] != "quickstart/127.0.0.1:"+port) {
			err = fmt.Errorf("got %v, want quickstart to be up", got[0])
		}
		return err
	})

	names.set()
	harness.Eventually(t, arrival, "the end of the target with its name", func() error {
		got, err := prometheus.Query(targets)
		if err == nil && len(got) > 0 {
			err = fmt.Errorf("got %v, want none", got)
		}
		return err
	})
}

// A nameServer says that the names it knows are at 127.0.0.1.
type nameServer struct {
	address string // of port 53, as no other can be configured

	mu    sync.Mutex
	known []string
}

func (n *nameServer) set(known ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = known
}

func startNameServer(t *testing.T) *nameServer {
	t.Helper()
	n := &nameServer{address: "127.0.0.2"}
	conn, err := net.ListenPacket("udp", n.address+":53")
	if err != nil {
		t.Skipf("a name server cannot be started here, which takes Linux and root: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go n.serve(conn)
	return n
}

// serve answers until the connection is closed.
func (n *nameServer) serve(conn net.PacketConn) {
	buf := make([]byte, 512)
	for {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		if answer, err := n.answer(m).Pack(); err == nil {
			_, _ = conn.WriteTo(answer, from) // whoever asked asks again
		}
	}
}

func (n *nameServer) answer(question dnsmessage.Message) *dnsmessage.Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	q := question.Questions[0]
	m := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: question.ID, Response: true, RCode: dnsmessage.RCodeNameError},
		Questions: question.Questions,
	}
	if slices.Contains(n.known, q.Name.String()) && q.Type == dnsmessage.TypeA {
		m.RCode = dnsmessage.RCodeSuccess
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	return m
}
