package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/e2e/harness"
)

// testLargeBodies sends bodies both ways, to an LLM API and to another, and
// looks at how much memory the proxy ever had.
func testLargeBodies(t *testing.T, command string) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the most memory that a process had")
	}
	const small, large, allowed = 8 << 20, 1 << 30, 16 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n < small {
			t.Errorf("%d bytes came: %v", n, err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, document(n))
	}))
	defer server.Close()
	p := harness.StartProxy(t, command, harness.NoOTLP(), "--upstream", server.URL)
	for _, path := range []string{"/v1/chat/completions", "/v1/files"} {
		roundTrip(t, p.URL+path, small)
		before := peakMemory(t, p.PID())
		roundTrip(t, p.URL+path, large)
		grown := peakMemory(t, p.PID()) - before
		t.Logf("%s: %d KiB more after 1 GiB both ways", path, grown>>10)
		if grown > allowed {
			t.Errorf("%s: 1 GiB took %d MiB of memory, want %d MiB at most", path, grown>>20, allowed>>20)
		}
	}
	want := map[string]float64{"ok": 2}
	if err := differ("calls", want, p.Page(t).Sums("otelmon_llm_attempts_total", "otelmon_llm_outcome")); err != nil {
		t.Error(err)
	}
}

func roundTrip(t *testing.T, url string, size int64) {
	t.Helper()
	response := post(t, url, document(size))
	n, err := io.Copy(io.Discard, response.Body)
	if n != size || err != nil {
		t.Errorf("%d bytes came back, not %d: %v", n, size, err)
	}
}

// document is a question as well as an answer, with a text that makes it as
// long as it is to be. Nothing holds it in memory.
func document(size int64) io.Reader {
	const head, tail = `{"model":"large","messages":[],"choices":[{"message":{"content":"`, `"},"finish_reason":"stop"}]}`
	return io.MultiReader(strings.NewReader(head), io.LimitReader(letters{}, size-int64(len(head+tail))), strings.NewReader(tail))
}

type letters struct{}

// Read implements [io.Reader].
func (letters) Read(p []byte) (int, error) {
	for n := copy(p, "letters of a text that never ends "); n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
	return len(p), nil
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most memory that a process ever had, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := highWater.FindSubmatch(status)
	if found == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	kib, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// testOneByOne lets the upstream send each event only after curl has shown the
// one before.
func testOneByOne(t *testing.T, command string) {
	if _, err := exec.LookPath(curl); err != nil {
		t.Skip("curl is not installed, so that nothing was tried with it")
	}
	for name, args := range map[string][]string{"as it is": nil, "asking for usage": {"--include-usage"}} {
		t.Run(name, func(t *testing.T) {
			upstream := newGate(t)
			p := harness.StartProxy(t, command, harness.NoOTLP(), append(args, "--upstream", upstream.url)...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			client := exec.CommandContext(ctx, curl, "--no-buffer", "--silent", "--noproxy", "*",
				"--header", "Content-Type: application/json", "--data", `{"model":"m","stream":true}`, p.URL+"/v1/chat/completions")
			out, err := client.StdoutPipe()
			if err == nil {
				err = client.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			const events = 50
			for i := range events {
				got := make([]byte, len(gateEvent(i)))
				if _, err := io.ReadFull(out, got); string(got) != gateEvent(i) || err != nil {
					t.Fatalf("event %d: got %q, %v", i, got, err)
				}
				if i < events-1 {
					upstream.next <- struct{}{}
				}
			}
			close(upstream.next)
			if rest, err := io.ReadAll(out); string(rest) != gateEnd || err != nil {
				t.Errorf("the stream ended with %q, %v", rest, err)
			}
			if err := client.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
