package e2e_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/otelmon/toolkit/e2e/harness"
)

// TestProxy runs the command otelmon as it is shipped. Its parts are not
// parallel, since each keeps two cores busy.
func TestProxy(t *testing.T) {
	command := harness.BuildCommand(t)
	for name, test := range map[string]func(*testing.T, string){
		"clients that nobody here wrote get and tell the same as without it": testClients,
		"ten thousand calls are told exactly":                                testTenThousandCalls,
		"its exit code tells what is wrong":                                  testExitCodes,
		"SIGTERM lets a stream end":                                          testDrain,
		"a second interrupt ends it at once":                                 testSecondInterrupt,
		"SIGHUP reads its file again, if it is right":                        testReload,
		"it answers for upstreams that do not":                               testUpstreamFailures,
		"clients that misbehave disturb nobody":                              testMisbehavior,
		"a client that closes its half gets no answer that looks complete":   testHalfClose,
		"bodies of 1 GiB take no memory":                                     testLargeBodies,
		"curl sees events one by one as they come":                           testOneByOne,
		"its metrics and traces arrive once in the stack":                    testStack,
	} {
		t.Run(name, func(t *testing.T) { test(t, command) })
	}
}

const patience = 20 * time.Second

func testExitCodes(t *testing.T, command string) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"help":                        {[]string{"--help"}, 0, "Usage: otelmon COMMAND"},
		"help of the proxy":           {[]string{"proxy", "--help"}, 0, "otelmon proxy --upstream https://api.deepseek.com"},
		"version":                     {[]string{"--version"}, 0, "otelmon "},
		"no command":                  {nil, 2, "accepted: proxy"},
		"another command":             {[]string{"serve"}, 2, `unknown command "serve"`},
		"no upstream":                 {[]string{"proxy"}, 2, "--upstream: missing; accepted: a URL such as https://api.deepseek.com"},
		"a wrong flag":                {[]string{"proxy", "--upstreams", "http://a"}, 2, "--upstreams"},
		"a wrong value":               {[]string{"proxy", "--upstream", "http://a", "--drain", "soon"}, 2, "accepted: a duration such as 30s"},
		"a URL with a password":       {[]string{"proxy", "--upstream", "http://user:secret@a"}, 2, "accepted"},
		"a file that is not there":    {[]string{"proxy", "--config", "nowhere.yaml"}, 2, "nowhere.yaml"},
		"prices that are not there":   {[]string{"proxy", "--upstream", "http://a", "--prices", "nowhere.yaml"}, 2, "--prices"},
		"an address that is not free": {[]string{"proxy", "--upstream", "http://a", "--listen", taken.Addr().String()}, 1, "address already in use; choose another address with --listen"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := harness.Start(t, harness.NoOTLP(), command, test.args...)
			if got := p.ExitCode(t, patience); got != test.code {
				t.Errorf("exit code: got %d, want %d", got, test.code)
			}
			if out := p.Output(); !strings.Contains(out, test.says) || strings.Contains(out, "secret") {
				t.Errorf("got %q, want %q in it and no secret", out, test.says)
			}
		})
	}
}

// A gate is an upstream whose streams go on as a test lets them.
type gate struct {
	url  string
	next chan struct{} // an event for each; closed: the end
	left chan struct{} // gets one for each client that left
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{next: make(chan struct{}), left: make(chan struct{}, 10)}
	server := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := 0; ; i++ {
		fmt.Fprint(w, gateEvent(i))
		_ = http.NewResponseController(w).Flush()
		select {
		case _, more := <-g.next:
			if !more {
				fmt.Fprint(w, gateEnd)
				return
			}
		case <-r.Context().Done():
			g.left <- struct{}{}
			return
		}
	}
}

func gateEvent(i int) string {
	return fmt.Sprintf("data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%d\"}}]}\n\n", i)
}

const gateEnd = "data: [DONE]\n\n"

// openStream returns the body of a stream of which the first event was read.
func openStream(t *testing.T, url string) io.Reader {
	t.Helper()
	response := post(t, url+"/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	body := bufio.NewReader(response.Body)
	if line, err := body.ReadString('\n'); line+"\n" != gateEvent(0) || err != nil {
		t.Fatalf("the stream began with %q, %v", line, err)
	}
	return body
}

// post returns an answer with status 200; it is closed at the end of the test.
func post(t *testing.T, url string, body io.Reader) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("got %s", response.Status)
	}
	return response
}

func testDrain(t *testing.T, command string) {
	upstream := newGate(t)
	p := harness.StartProxy(t, command, harness.NoOTLP(), "--upstream", upstream.url)
	wantStatus(t, p.Metrics+"/livez", http.StatusOK)
	wantStatus(t, p.Metrics+"/readyz", http.StatusOK)
	stream := openStream(t, p.URL)
	p.Terminate(t)
	p.WaitOutput(t, "msg=stopping requests=1")
	wantStatus(t, p.Metrics+"/livez", http.StatusOK)
	wantStatus(t, p.Metrics+"/readyz", http.StatusServiceUnavailable)
	harness.Eventually(t, patience, "no more connections", func() error {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err == nil {
			_ = conn.Close()
			return errors.New("a connection was taken")
		}
		return nil
	})
	upstream.next <- struct{}{}
	close(upstream.next)
	if rest, err := io.ReadAll(stream); string(rest) != "\n"+gateEvent(1)+gateEnd || err != nil {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	p.Wait(t, patience)
}

func testSecondInterrupt(t *testing.T, command string) {
	upstream := newGate(t)
	p := harness.StartProxy(t, command, harness.NoOTLP(), "--upstream", upstream.url)
	stream := openStream(t, p.URL)
	p.Signal(t, os.Interrupt)
	p.WaitOutput(t, "msg=stopping requests=1")
	p.Signal(t, os.Interrupt)
	if got := p.ExitCode(t, patience); got != -1 {
		t.Errorf("exit code: got %d, want the end by the signal", got)
	}
	if rest, err := io.ReadAll(stream); err == nil {
		t.Errorf("the stream ended with %q and no error", rest)
	}
}

func testReload(t *testing.T, command string) {
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("upstreams: [{url: '" + named(t, "one") + "'}]")
	p := harness.StartProxy(t, command, harness.NoOTLP(), "--config", file)
	wantBody(t, p.URL, "one")
	two := named(t, "two")
	write("upstreams: [{url: '" + two + "', name: second}]")
	p.Signal(t, syscall.SIGHUP)
	p.WaitOutput(t, `msg=reloaded upstreams="/ second"`)
	wantBody(t, p.URL, "two")
	write("upstreams:\n  - url: ftp://user:secret@example.com")
	p.Signal(t, syscall.SIGHUP)
	p.WaitOutput(t, `not reloaded, the former configuration stays.*proxy.yaml:2: upstreams\[0\].url`)
	wantBody(t, p.URL, "two")
	if strings.Contains(p.Output(), "secret") {
		t.Error("the log has the password of a URL")
	}
	want := map[string]float64{"": 1, "configuration": 1}
	if err := differ("reloads", want, p.Page(t).Sums("otelmon_proxy_reloads_total", "error_type")); err != nil {
		t.Error(err)
	}
}

// named is an upstream that answers by its name.
func named(t *testing.T, name string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(server.Close)
	return server.URL
}

func wantBody(t *testing.T, url, want string) {
	t.Helper()
	if got, err := harness.Get(url); string(got) != want || err != nil {
		t.Errorf("%s: got %q, %v, want %q", url, got, err, want)
	}
}

func wantStatus(t *testing.T, url string, want int) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		t.Errorf("%s: got %s, want %d", url, response.Status, want)
	}
}

func testUpstreamFailures(t *testing.T, command string) {
	silent, closing, own := newSilent(t), newClosing(t), harness.FreeAddress(t)
	p := harness.StartProxy(t, command, harness.NoOTLP(), "--listen", own, "--upstream-timeout", "300ms",
		"--upstream", "/down=http://"+harness.FreeAddress(t), "--upstream", "/silent="+silent, "--upstream", "/closing="+closing,
		"--upstream", "/loop=http://"+own+"/loop")
	want := map[string]float64{}
	for path, failure := range map[string]struct {
		status    int
		errorType string
	}{
		"/down":    {http.StatusBadGateway, "connection_refused"},
		"/silent":  {http.StatusGatewayTimeout, "timeout"},
		"/closing": {http.StatusBadGateway, "unexpected_eof"},
		"/loop":    {http.StatusLoopDetected, "loop"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+path+"/v1/models?trace="+canaryQuery, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+canaryKey)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != failure.status || err != nil || !strings.HasPrefix(string(body), `{"error":{"message":"`) {
			t.Errorf("%s: got %s %s, %v, want %d", path, response.Status, body, err, failure.status)
		}
		want[failure.errorType]++
	}
	wantStatus(t, p.Metrics+"/readyz", http.StatusOK)
	page := p.Page(t)
	if err := differ("failures", want, page.Sums("otelmon_proxy_upstream_failures_total", "error_type")); err != nil {
		t.Error(err)
	}
	if told := p.Output() + fmt.Sprint(page); strings.Contains(told, canaryKey) || strings.Contains(told, canaryQuery) {
		t.Error("the key or the query of a request is in the log or the metrics")
	}
}

// newSilent is an upstream that takes connections and says nothing.
func newSilent(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	return server.URL
}

// newClosing is an upstream that closes connections once a request came.
func newClosing(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(server.Close)
	return server.URL
}

// testMisbehavior has clients send headers without end, or hardly anything, while
// others are served.
func testMisbehavior(t *testing.T, command string) {
	p := harness.StartProxy(t, command, harness.NoOTLP(), "--upstream", named(t, "served"))
	address := strings.TrimPrefix(p.URL, "http://")
	for range 200 {
		say(t, dial(t, address), "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
	}
	wantBody(t, p.URL, "served")
	flood := dial(t, address)
	_, _ = io.WriteString(flood, "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("X-Flood: "+strings.Repeat("x", 100)+"\r\n", 1000))
	response, err := http.ReadResponse(bufio.NewReader(flood), nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a flood of headers: got %s", response.Status)
	}
	wantBody(t, p.URL, "served")
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func testHalfClose(t *testing.T, command string) {
	upstream := newGate(t)
	p := harness.StartProxy(t, command, harness.NoOTLP(), "--upstream", upstream.url)
	conn := dial(t, strings.TrimPrefix(p.URL, "http://"))
	const body = `{"model":"m","stream":true}`
	say(t, conn, fmt.Sprintf("POST /chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, len(gateEvent(0)))); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-upstream.left:
	case <-time.After(patience):
		t.Error("the request to the upstream goes on")
	}
	if rest, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("the stream ended with %q and no error", rest)
	}
	harness.Eventually(t, patience, "an aborted call", func() error {
		page := p.Page(t)
		if active := page.Sums("otelmon_llm_active_requests")[""] + page.Sums("http_server_active_requests")[""]; active != 0 {
			return fmt.Errorf("%v requests are active", active)
		}
		return differ("calls", map[string]float64{"aborted": 1}, page.Sums("otelmon_llm_attempts_total", "otelmon_llm_outcome"))
	})
}
