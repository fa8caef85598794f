package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/otelmon"
)

const partEnvironment = "environment"

// service is what a service would be whose code leaves all to the environment.
type service struct {
	otelmon.Status
	refused []string // what is not accepted, one line each
}

// configured sets such a service up, without a connection or a listener.
func configured(ctx context.Context) service {
	var cfg otelmon.Config
	cfg.DisableGlobals = true
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Prometheus.Listen = func(_ context.Context, _, address string) (net.Listener, error) { return newIdle(address) }
	cfg.OTLP.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("nothing is sent")
	}
	sdk, err := otelmon.Setup(ctx, cfg)
	own := service{Status: sdk.Status()}
	if err != nil {
		own.refused = strings.Split(err.Error(), "\n")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_ = sdk.Shutdown(ended) // nothing was recorded that could be lost
	return own
}

// environment tells of each variable that is set what becomes of it, and of all
// of them together what they lead to.
func (s service) environment(context.Context, Config) []Finding {
	findings := []Finding{s.outcome()}
	for _, line := range s.refused {
		message, accepted, _ := strings.Cut(line, "; accepted: ")
		advice := "Correct the variables that this is about."
		if accepted != "" {
			advice = "Accepted: " + accepted + "."
		}
		findings = append(findings, Finding{partEnvironment, "refused-value", Failure, message, advice})
	}
	for _, setting := range s.Settings {
		if os.Getenv(setting.Name) != "" {
			findings = append(findings, s.variable(setting)...)
		}
	}
	return append(findings, s.named()...)
}

// outcome tells what is in force, in one line.
func (s service) outcome() Finding {
	f := Finding{Part: partEnvironment, Check: "outcome"}
	if os.Getenv("OTEL_SDK_DISABLED") != "" && s.value("OTEL_SDK_DISABLED") == "true" {
		f.Level, f.Message, f.Advice = Warning, "all telemetry is off, by OTEL_SDK_DISABLED", "Remove OTEL_SDK_DISABLED to see any."
		return f
	}
	f.Message = fmt.Sprintf("pushes %s; serves %s", cmp.Or(s.pushed(), "nothing"), cmp.Or(s.Scrape.URL, "no metrics"))
	if !slices.ContainsFunc(s.Settings, func(v otelmon.Setting) bool { return os.Getenv(v.Name) != "" }) {
		f.Message = "no variable is set: defaults; " + f.Message
	}
	return f
}

// pushed tells which signals go where.
func (s service) pushed() string {
	var addresses, all []string
	signals := make(map[string][]string)
	for _, push := range s.Pushes {
		if signals[push.Address] == nil {
			addresses = append(addresses, push.Address)
		}
		signals[push.Address] = append(signals[push.Address], push.Signal)
	}
	for _, address := range addresses {
		all = append(all, together(signals[address])+" to "+address)
	}
	return strings.Join(all, ", ")
}

// variable tells of one that is set, but for one that was refused, of which that
// was told.
func (s service) variable(v otelmon.Setting) []Finding {
	f := Finding{Part: partEnvironment, Check: "variable", Message: v.Name + "=" + v.Value}
	told := func(line string) bool { return variableName.FindString(line) == v.Name }
	switch {
	case slices.ContainsFunc(s.refused, told):
		return nil
	case v.Problem != "" && !isKnown(v.Name):
		f.Check, f.Level, f.Message = "unknown-variable", Warning, v.Name+": "+v.Problem
		f.Advice = "Correct the name, see docs/configuration.md; or let it be if it is for a library."
	case v.Problem != "":
		f.Check, f.Level, f.Message = "ignored-variable", Warning, v.Name+"="+v.Value+": "+v.Problem
		f.Advice = "Remove it, or that because of which it has no effect."
	case samplesNothing(v):
		f.Check, f.Level, f.Message = "sampler", Warning, f.Message+" keeps no trace"
		f.Advice = "Set another sampler, such as parentbased_always_on, or a ratio above 0."
	}
	return []Finding{f}
}

func isKnown(name string) bool {
	return slices.ContainsFunc(env.Variables(), func(v env.Variable) bool { return v.Name == name })
}

// variableName is what an error about a variable begins with.
var variableName = regexp.MustCompile(`^[A-Z0-9_]+`)

// samplesNothing reports whether a setting leaves no trace to see.
func samplesNothing(v otelmon.Setting) bool {
	ratio, err := strconv.ParseFloat(v.Value, 64)
	return v.Name == "OTEL_TRACES_SAMPLER" && strings.HasSuffix(v.Value, "always_off") ||
		v.Name == "OTEL_TRACES_SAMPLER_ARG" && err == nil && ratio == 0
}

func (s service) value(name string) string {
	for _, v := range s.Settings {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// named tells of a service that others cannot tell from the next one, unless its
// code names it, which is not to be seen here.
func (s service) named() []Finding {
	if s.Resource == nil {
		return nil
	}
	if name, ok := s.Resource.Set().Value(telemetry.ServiceName); ok && !strings.HasPrefix(name.AsString(), "unknown_service") {
		return nil
	}
	return []Finding{{Part: partEnvironment, Check: "service-name", Message: "no variable names the service: its code has to, by Config.ServiceName, or OTEL_SERVICE_NAME"}}
}
