package exporters_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/otelmon/toolkit/exporters"
)

const fewDescriptors = "EXPORTERS_TEST_FEW_DESCRIPTORS"

// TestServeWithFewDescriptors is no test but the service of the next one.
func TestServeWithFewDescriptors(t *testing.T) {
	if os.Getenv(fewDescriptors) == "" {
		t.Skip("it is run by TestAScrapeGetsInWithoutDescriptors")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}); err != nil {
		t.Fatal(err)
	}
	server, provider := serve(t, exporters.Prometheus{Logger: slog.New(slog.NewTextHandler(os.Stdout, nil))})
	record(t, provider)
	if _, err := fmt.Println("URL " + server.URL()); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestAScrapeGetsInWithoutDescriptors(t *testing.T) {
	t.Parallel()
	service := exec.CommandContext(patience(t), os.Args[0], "-test.run=^TestServeWithFewDescriptors$")
	service.Env = append(os.Environ(), fewDescriptors+"=1")
	input, err := service.StdinPipe()
	output, err2 := service.StdoutPipe()
	if err := errors.Join(err, err2, service.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(output)
	first, err := lines.ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(first), "URL ")
	if err != nil || !found {
		t.Fatalf("got line %q (%v)", first, err)
	}
	for range 100 {
		conn, err := (&net.Dialer{}).DialContext(patience(t), "tcp", "127.0.0.1:"+portOf(t, url))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	for range 3 {
		got, err := get(t, url, "", "", nil)
		if err != nil || got.status != http.StatusOK {
			t.Errorf("got status %d (%v)", got.status, err)
		}
		checkBody(t, got.body, "orders_total")
	}
	_ = input.Close()
	rest, err := io.ReadAll(lines)
	if err := errors.Join(err, service.Wait()); err != nil {
		t.Errorf("got error %v and\n%s", err, rest)
	}
	if got := strings.Count(string(rest), "takes no connection for now"); got != 1 || strings.Count(string(rest), "level=") != 1 {
		t.Errorf("got %d lines of it in\n%s\nwant 1", got, rest)
	}
}
