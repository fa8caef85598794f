// Check-grafana asks a running Grafana for everything that its dashboards ask
// for: whether its data sources answer, and whether every query of every dashboard
// runs and returns data. It exits with 1 when one does not. `make check-grafana`
// runs it.
//
// The password is in GRAFANA_ADMIN_PASSWORD, in the environment or in the file that
// docker compose reads it from. Loki is required when COMPOSE_PROFILES, found in
// the same way, has logs.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/otelmon/toolkit/internal/grafana"

	"github.com/otelmon/toolkit/e2e/check"
)

// timeout bounds each request.
const timeout = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 1 for faults of the stack, 2 for those of the call.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	if err != nil {
		say(stderr, "check-grafana: %v", err)
		return 2
	}
	c.Out = stdout
	faults, err := c.Run(ctx)
	switch {
	case err != nil:
		say(stderr, "check-grafana: %v", err)
		return 1
	case faults > 0:
		say(stderr, "check-grafana: %d faults", faults)
		return 1
	}
	say(stdout, "all is well")
	return 0
}

// parse returns the check that the arguments and variables ask for.
func parse(args []string, stderr io.Writer) (check.Check, error) {
	flags := flag.NewFlagSet("check-grafana", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		url  = flags.String("url", "http://localhost:3000", "`address` of Grafana")
		user = flags.String("user", "admin", "`name` to log in with")
		span = flags.Duration("span", 15*time.Minute, "how far back queries look")
		dir  = flags.String("dashboards", "../deploy/grafana/dashboards", "`folder` with the files of the dashboards that have to be there")
		llm  = flags.Bool("llm", false, "require data of calls of LLM APIs, which something has to make meanwhile")
		file = flags.String("env-file", "../.env", "`file` with variables that are not in the environment; it may be missing")
	)
	if err := flags.Parse(args); err != nil {
		return check.Check{}, err
	}
	variables, err := dotenv.Read(*file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return check.Check{}, err
	}
	variable := func(name string) string { return cmp.Or(os.Getenv(name), variables[name]) }
	password := variable("GRAFANA_ADMIN_PASSWORD")
	if password == "" {
		return check.Check{}, fmt.Errorf("GRAFANA_ADMIN_PASSWORD is not set, neither in the environment nor in %s", *file)
	}
	dashboards, err := uids(*dir)
	return check.Check{
		Client:     &check.Client{URL: *url, User: *user, Password: password, HTTP: &http.Client{Timeout: timeout}},
		Dashboards: dashboards,
		Span:       *span,
		Logs:       slices.Contains(strings.Split(variable("COMPOSE_PROFILES"), ","), "logs"),
		LLM:        *llm,
	}, err
}

// uids returns the uids of the dashboards in a folder.
func uids(dir string) ([]string, error) {
	dashboards, err := grafana.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read dashboards: %w", err)
	}
	if len(dashboards) == 0 {
		return nil, fmt.Errorf("there are no dashboards in %s", dir)
	}
	var found []string
	for _, d := range dashboards {
		found = append(found, d.UID)
	}
	return slices.Sorted(slices.Values(found)), nil
}

func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...) //nolint:errcheck // there is no other place to say it
}
