// Otelmon is the command of the toolkit. Its subcommand proxy measures HTTP and
// LLM APIs beside programs that cannot be changed; rules makes rules of
// Prometheus from SLO files; doctor finds out why telemetry is not seen.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	_ "time/tzdata" // for price books, as images made from scratch have no time zones

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Exit codes.
const (
	succeeded = 0
	failed    = 1 // while running
	misused   = 2 // wrong arguments, variables or files
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// process is what a command knows of its surroundings.
type process struct {
	environment    environment
	stdout, stderr io.Writer
}

// command is a subcommand; run returns the exit code.
type command struct {
	name, summary string
	run           func(context.Context, process, []string) int
}

func commands() []command {
	return []command{
		{"proxy", "measure HTTP and LLM APIs beside a program that cannot be changed", runProxy},
		{"rules", "make recording rules and alerts of Prometheus from SLO files", runRules},
		{"doctor", "find out why telemetry is not seen, is there twice or is wrong", runDoctor},
	}
}

// run returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := process{environ, stdout, stderr}
	if len(args) == 0 {
		p.complain("otelmon: no command; " + advice())
		return misused
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, p, args[1:])
		}
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		p.print(overview())
		return succeeded
	case "-version", "--version", "version":
		p.print(version())
		return succeeded
	}
	p.complain(fmt.Sprintf("otelmon: unknown command %q; %s", args[0], advice()))
	return misused
}

func advice() string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return "accepted: " + strings.Join(names, ", ") + "; see otelmon --help"
}

func overview() string {
	var b strings.Builder
	b.WriteString("Usage: otelmon COMMAND [flags]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.summary)
	}
	b.WriteString("\notelmon COMMAND --help tells more, otelmon --version the version.\n")
	return b.String()
}

func version() string {
	return fmt.Sprintf("otelmon %s, %s %s/%s\n", telemetry.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (p process) print(text string)    { _, _ = io.WriteString(p.stdout, text) }
func (p process) complain(line string) { _, _ = io.WriteString(p.stderr, line+"\n") }
