//go:build unix

package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// startCommand runs this test's executable as the command, and returns once it
// serves.
func startCommand(t *testing.T, args ...string) (command *exec.Cmd, log *lines, address string) {
	t.Helper()
	args = append([]string{"proxy", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}, args...)
	command, log = exec.CommandContext(patience(t), os.Args[0], args...), newLines()
	command.Env = append(os.Environ(), commandEnvironment+"=1")
	for name, value := range quiet() {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Stderr = log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	return command, log, log.wait(t, `msg=serving listen=(\S+) `)[1]
}

func send(t *testing.T, command *exec.Cmd, sig os.Signal) {
	t.Helper()
	if err := command.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func TestSignalsEndTheCommandAfterItsStreams(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		upstream := newAPI(t, "one")
		command, log, address := startCommand(t, "--upstream", upstream.url)
		open := openStream(t, "http://"+address)
		send(t, command, sig)
		log.wait(t, "msg=stopping requests=1")
		upstream.release()
		if rest, err := open.rest(); rest != "ne end" || err != nil {
			t.Errorf("%v: the stream ended with %q, %v", sig, rest, err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", sig, err, log)
		}
	}
}

func TestASecondSignalEndsTheCommandAtOnce(t *testing.T) {
	t.Parallel()
	command, log, address := startCommand(t, "--upstream", newAPI(t, "one").url)
	open := openStream(t, "http://"+address)
	send(t, command, os.Interrupt)
	log.wait(t, "msg=stopping requests=1")
	send(t, command, os.Interrupt)
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("got %v, want the end by the signal\n%s", err, log)
	}
	if rest, err := open.rest(); err == nil {
		t.Errorf("the stream ended with %q and no error", rest)
	}
}

func TestTheCommandReloads(t *testing.T) {
	t.Parallel()
	path := write(t, "upstreams: [{url: '"+newAPI(t, "one").url+"'}]")
	command, log, address := startCommand(t, "--config", path)
	overwrite(t, path, "upstreams: [{url: '"+newAPI(t, "two").url+"', name: second}]")
	send(t, command, syscall.SIGHUP)
	log.wait(t, `msg=reloaded upstreams="/ second"`)
	if status, got := get(t, "http://"+address); status != http.StatusOK || got != "two" {
		t.Errorf("after the reload: got %d %q, want two", status, got)
	}
	overwrite(t, path, "upstream: nowhere")
	send(t, command, syscall.SIGHUP)
	log.wait(t, "not reloaded, the former configuration stays.*proxy.yaml:1: .*upstream")
	send(t, command, syscall.SIGTERM)
	if err := command.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}

func TestExitCodesOfTheCommand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want int
	}{
		"help": {[]string{"proxy", "--help"}, 0},
		"an occupied address, which is no address of this machine": {[]string{"proxy", "--upstream", "http://a", "--listen", "192.0.2.1:80"}, 1},
		"a wrong flag":  {[]string{"proxy", "--upstrem", "http://a"}, 2},
		"no subcommand": {nil, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(patience(t), os.Args[0], test.args...)
			command.Env = append(os.Environ(), commandEnvironment+"=1")
			_ = command.Run() // the exit code is what is looked at
			if got := command.ProcessState.ExitCode(); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}
