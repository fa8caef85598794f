package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

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
	t.Run("federation takes recorded series and alerts only", func(t *testing.T) {
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
		if name := n.Labels["__name__"]; name != "ALERTS" && !strings.Contains(name, ":") {
			t.Errorf("%s is neither recorded nor an alert", name)
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
