package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Roles of further processes, whose processor time is not that of this one.
const (
	roleVariable  = "OTELMON_BENCHMARKS_ROLE"
	roleCollector = "collector"
	roleService   = "service"
	roleUpstream  = "upstream"
	roleReverse   = "reverse proxy"
	roleSidecar   = "side-car"
	roleLive      = "live page"
)

// playRole does what this process was started for; it reports false when that
// is to measure.
func playRole() (played bool, err error) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		return false, nil
	case roleCollector:
		return true, serveCollector()
	case roleService:
		return true, serveService()
	case roleUpstream:
		return true, serveUpstream()
	case roleReverse:
		return true, serveReverse()
	case roleSidecar:
		return true, serveSidecar()
	case roleLive:
		return true, serveLive()
	default:
		return true, fmt.Errorf("%s=%q: unknown", roleVariable, role)
	}
}

// ready tells the parent where to find this process, and waits until the parent
// has no more use for it.
func ready(addresses ...string) error {
	fmt.Println(strings.Join(addresses, " "))
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return fmt.Errorf("waiting for the end: %w", err)
	}
	return nil
}

// serve answers requests until the parent has no more use for this process. It
// tells the parent its address, and more.
func serve(ctx context.Context, handler http.Handler, more ...string) error {
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = ready(append([]string{listener.Addr().String()}, more...)...)
	ending, cancel := context.WithTimeout(ctx, 5*time.Second) // for what is just being answered
	defer cancel()
	if left := server.Shutdown(ending); !errors.Is(left, context.DeadlineExceeded) { // a connection without a request holds it up
		err = errors.Join(err, left)
	}
	err = errors.Join(err, server.Close())
	if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return err
}

// process is this program in a role, or another one that serves.
type process struct {
	addresses []string
	command   *exec.Cmd
	stdin     io.Closer // ends it
	folder    string    // is removed then, if there is one
}

// startProcess returns when the process is ready. Variables are those of this
// process without any of OpenTelemetry, and the given ones.
func startProcess(ctx context.Context, role string, variables ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	c := exec.CommandContext(ctx, program) //nolint:gosec // it is this program
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OTEL") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(append(c.Env, variables...), roleVariable+"="+role)
	c.Stderr = os.Stderr
	stdin, errIn := c.StdinPipe()
	stdout, errOut := c.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, fmt.Errorf("connecting to the %s: %w", role, err)
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", role, err)
	}
	p := &process{command: c, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("waiting for the %s: %w", role, err), p.stop())
	}
	p.addresses = strings.Fields(line)
	return p, nil
}

func (p *process) stop() error {
	return errors.Join(p.stdin.Close(), p.command.Wait(), os.RemoveAll(p.folder))
}
