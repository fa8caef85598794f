package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"

	"github.com/otelmon/toolkit/doctor"
)

const doctorHelp = `Usage: otelmon doctor [flags]

Finds out why telemetry is not seen, is there twice or is wrong, and says what
to do about it. Run it in the environment of a service. It looks at variables,
at the OTLP endpoint that they lead to, where it sends an export without
content, at the metrics page if they lead to one that is served on this machine,
and at what flags name.

Examples:
  otelmon doctor
  otelmon doctor --metrics http://localhost:9464/metrics
  otelmon doctor --prometheus http://localhost:9090 \
                 --tempo http://localhost:3200
  otelmon doctor --json | jq '.findings[] | select(.level != "ok")'

Flags:
  --metrics URL             metrics page of a service
  --prometheus URL          where the API of Prometheus begins
  --tempo URL               where the API of Tempo begins
  --collector URL           page with the metrics of the Collector itself, such
                            as http://localhost:8888/metrics
  --service NAME            service.name to look for in Prometheus (default the
                            one on the metrics page, then OTEL_SERVICE_NAME)
  --timeout TIME            how long all of it may take (default 10s, the most)
  --json                    print findings as JSON
  --help                    this text

URLs may have credentials, as http://USER:PASSWORD@HOST; no output has them, nor
the values of headers. The page docs/doctor.md of the project describes what is
checked.

Exit codes: 0 fine, 1 warnings, 2 failures or wrong flags.
`

// doctorArguments are those of otelmon doctor.
type doctorArguments struct {
	config doctor.Config
	json   bool
}

// runDoctor is the subcommand doctor.
func runDoctor(ctx context.Context, p process, args []string) int {
	a, err := parseDoctor(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		p.print(doctorHelp)
		return succeeded
	case err != nil:
		p.complain("otelmon doctor: " + err.Error() + "; see otelmon doctor --help")
		return misused
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetOutput(io.Discard) // where net/http tells what odd servers send
	otel.SetLogger(logr.Discard())
	report := doctor.Run(ctx, a.config)
	text := reportText(report)
	if a.json {
		content, _ := json.MarshalIndent(report, "", "  ") // texts alone, which cannot fail
		text = string(content) + "\n"
	}
	if _, err := io.WriteString(p.stdout, text); err != nil {
		p.complain("otelmon doctor: printing findings: " + err.Error())
		return misused
	}
	return int(report.Level())
}

func parseDoctor(args []string) (a doctorArguments, err error) {
	flags := flag.NewFlagSet("otelmon doctor", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	urls := map[string]*string{
		"metrics": &a.config.MetricsURL, "prometheus": &a.config.PrometheusURL,
		"tempo": &a.config.TempoURL, "collector": &a.config.CollectorURL,
	}
	for name, value := range urls {
		flags.StringVar(value, name, "", "")
	}
	flags.StringVar(&a.config.Service, "service", "", "")
	timeout := flags.String("timeout", "10s", "")
	flags.BoolVar(&a.json, "json", false, "")
	switch err = flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return a, err
	case err != nil:
		return a, errors.New(twoDashes.Replace(err.Error()))
	case flags.NArg() > 0:
		return a, fmt.Errorf("unexpected argument %q; accepted: flags alone", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) {
		if _, is := urls[f.Name]; is && !isPageURL(f.Value.String()) {
			err = errors.Join(err, wrong("--"+f.Name, "", errors.New("not a URL of a server"), "a URL with scheme http or https, such as http://localhost:9090"))
		}
	})
	if a.config.Timeout, _ = time.ParseDuration(*timeout); a.config.Timeout <= 0 || a.config.Timeout > 10*time.Second {
		err = errors.Join(err, wrong("--timeout", *timeout, errors.New("not such a time"), "a duration up to 10s, such as 5s"))
	}
	return a, err
}

func isPageURL(value string) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// reportText has the findings by part, each with what to do below it.
func reportText(r doctor.Report) string {
	var b strings.Builder
	part := ""
	for _, f := range r.Findings {
		if f.Part != part {
			part = f.Part
			b.WriteString(part + "\n")
		}
		message := f.Message
		if f.Level != doctor.OK {
			message += " [" + f.Check + "]"
		}
		fmt.Fprintf(&b, "  %-9s%s\n", f.Level, message)
		if f.Advice != "" {
			fmt.Fprintf(&b, "  %-9s%s\n", "", f.Advice)
		}
	}
	fmt.Fprintf(&b, "\n%s, %s, %d ok\n", counted(r.Count(doctor.Failure), "failure"), counted(r.Count(doctor.Warning), "warning"), r.Count(doctor.OK))
	return b.String()
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
