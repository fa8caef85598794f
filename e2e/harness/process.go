package harness

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is a program that a test started. It is killed when the test ends,
// and what it printed is shown if the test failed.
type Process struct {
	name string
	out  lockedBuffer
	done chan struct{} // closed after exit
	err  error         // of exit; read after done
	cmd  *exec.Cmd
}

// Start runs a program. Its environment is the test's own without any OTEL_ or
// OTELMON_ variable, followed by env.
func Start(t testing.TB, env []string, path string, args ...string) *Process {
	t.Helper()
	p := &Process{name: path, done: make(chan struct{}), cmd: exec.Command(path, args...)}
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.out.String())
		}
	})
	return p
}

// Kill ends the process at once and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended already
	<-p.done
}

// Terminate asks the process to end, by SIGTERM; see Wait.
func (p *Process) Terminate(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
}

// Signal sends the process a signal.
func (p *Process) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("signal %v to %s: %v", signal, p.name, err)
	}
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output returns what the process has printed so far.
func (p *Process) Output() string { return p.out.String() }

// WaitOutput waits until the process has printed what a pattern matches, and
// returns the first match with its groups.
func (p *Process) WaitOutput(t testing.TB, pattern string) []string {
	t.Helper()
	compiled := regexp.MustCompile(pattern)
	var found []string
	Eventually(t, 30*time.Second, "output of "+p.name, func() error {
		if found = compiled.FindStringSubmatch(p.Output()); found != nil {
			return nil
		}
		if err := p.Running(); err != nil {
			t.Fatal(err)
		}
		return fmt.Errorf("no match of %s", pattern)
	})
	return found
}

// Wait fails the test if the process does not exit cleanly in time.
func (p *Process) Wait(t testing.TB, within time.Duration) {
	t.Helper()
	if p.ExitCode(t, within); p.err != nil {
		t.Fatalf("%s: %v", p.name, p.err)
	}
}

// ExitCode waits for the end of the process and returns its exit code, or -1 if
// a signal ended it.
func (p *Process) ExitCode(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("%s still runs after %v", p.name, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Running returns an error once the process has ended.
func (p *Process) Running() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %s", p.name, p.cmd.ProcessState)
	default:
		return nil
	}
}

// Eventually waits for a condition in another process: it calls check until it
// returns nil and fails the test if that takes too long.
func Eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
	}
}

// FreeAddress returns a loopback address that nothing listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OTEL_") && !strings.HasPrefix(v, "OTELMON_") {
			env = append(env, v)
		}
	}
	return env
}

// A lockedBuffer is written by a process and read by the test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
