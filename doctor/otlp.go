package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/otelmon/toolkit/exporters"
)

const partOTLP = "otlp"

// push is one place that signals are pushed to, in the same way.
type push struct {
	exporters.Target // of the first
	signals          []exporters.Target
	proxied          bool
	stepTimeout      time.Duration // of a step on the way to an export
}

// endpoint pushes nothing to each place that the environment names.
func (s service) endpoint(ctx context.Context, cfg Config) []Finding {
	pushes, err := s.pushes()
	switch {
	case len(pushes) == 0 && err != nil && len(s.refused) > 0:
		return []Finding{{
			partOTLP, "not-configured", Failure, "nothing is pushed, since the environment has values that are not accepted",
			"Correct the variables that are named above.",
		}}
	case len(pushes) == 0:
		return []Finding{{partOTLP, "disabled", OK, "no signal is pushed over OTLP, as the environment says", ""}}
	}
	found := make([][]Finding, len(pushes))
	var running sync.WaitGroup
	for i, p := range pushes {
		p.stepTimeout = cfg.Timeout / 5
		running.Go(func() { found[i] = p.check(ctx) })
	}
	running.Wait()
	return slices.Concat(found...)
}

// pushes are the targets of the signals that are on, by place. The error says
// what is not accepted.
func (s service) pushes() (pushes []push, err error) {
	targets, err := exporters.OTLP{}.Targets()
	for _, target := range targets {
		if !slices.ContainsFunc(s.Pushes, func(on exporters.PushStatus) bool { return on.Signal == target.Signal }) {
			continue
		}
		same := func(p push) bool {
			return p.Address == target.Address && p.Protocol == target.Protocol && (p.TLS == nil) == (target.TLS == nil)
		}
		i := slices.IndexFunc(pushes, same)
		if i < 0 {
			i, pushes = len(pushes), append(pushes, push{Target: target, proxied: proxied(target)})
		}
		pushes[i].signals = append(pushes[i].signals, target)
	}
	return pushes, err
}

// variablesOfProxies names those that are set, without their values.
func variablesOfProxies() string {
	var names []string
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		if os.Getenv(name) != "" {
			names = append(names, name)
		}
	}
	return together(names)
}

const grpcProtocol = "grpc"

// proxied reports whether the variables name a proxy for a target. gRPC looks at
// that of HTTPS also without TLS.
func proxied(t exporters.Target) bool {
	u := &url.URL{Scheme: "https", Host: t.Address}
	if t.TLS == nil && t.Protocol != grpcProtocol {
		u.Scheme = "http"
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return proxy != nil || err != nil
}

// check goes from the name to the export, as far as it comes.
func (p push) check(ctx context.Context) []Finding {
	findings := p.reach(ctx)
	if worst(findings) < Failure {
		findings = append(findings, p.export(ctx)...)
	}
	if p.proxied && worst(findings) == Failure {
		findings = append(findings, Finding{
			partOTLP, "proxy", Warning, p.Address + " is reached through a proxy: " + variablesOfProxies(),
			"If none is meant, add " + hostOf(p.Address) + " to NO_PROXY.",
		})
	}
	return findings
}

// attempt is how the push of one signal went.
type attempt struct {
	target exporters.Target
	answer exporters.Answer
	err    error
}

// export pushes nothing of each signal, side by side. It leaves as much time as
// silent takes to find out why there is no answer.
func (p push) export(ctx context.Context) []Finding {
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if end, ok := ctx.Deadline(); ok {
		bounded, cancel = context.WithDeadline(ctx, end.Add(-p.stepTimeout))
	}
	defer cancel()
	attempts := make([]attempt, len(p.signals))
	var running sync.WaitGroup
	for i, target := range p.signals {
		running.Go(func() {
			answer, err := target.Probe(bounded)
			attempts[i] = attempt{target, answer, err}
		})
	}
	running.Wait()
	var accepted []attempt
	for _, a := range attempts {
		if a.err == nil {
			accepted = append(accepted, a)
		}
	}
	findings := p.accepted(accepted)
	for _, refused := range alike(attempts) {
		findings = append(findings, p.explain(ctx, refused, len(accepted) > 0))
	}
	return findings
}

// alike returns the failed attempts, those together that failed for the same
// reason. How a broken connection shows is a matter of chance.
func alike(attempts []attempt) (groups [][]attempt) {
	kind := func(err error) string {
		if reason := reasonOf(err); reason != "DEADLINE_EXCEEDED" {
			return reason
		}
		return "UNAVAILABLE"
	}
	for _, a := range attempts {
		if a.err == nil {
			continue
		}
		same := func(group []attempt) bool { return kind(group[0].err) == kind(a.err) }
		if i := slices.IndexFunc(groups, same); i >= 0 {
			groups[i] = append(groups[i], a)
		} else {
			groups = append(groups, []attempt{a})
		}
	}
	return groups
}

func signalsOf(attempts []attempt) string {
	var names []string
	for _, a := range attempts {
		names = append(names, a.target.Signal)
	}
	return together(names)
}

// accepted tells of exports that went well: how long they took, and how far the
// clocks are apart.
func (p push) accepted(attempts []attempt) []Finding {
	if len(attempts) == 0 {
		return nil
	}
	slowest := slices.MaxFunc(attempts, func(a, b attempt) int { return cmp.Compare(a.answer.Took, b.answer.Took) })
	findings := []Finding{{
		Part: partOTLP, Check: "export",
		Message: fmt.Sprintf("%s takes %s, over %s", p.Address, signalsOf(attempts), p.Protocol),
	}}
	latency := Finding{Part: partOTLP, Check: "latency", Message: fmt.Sprintf("%s answers within %s", p.Address, rounded(slowest.answer.Took))}
	if slowest.answer.Took >= time.Second {
		latency.Level, latency.Message = Warning, fmt.Sprintf("%s took %s for an export of %s without content", p.Address, rounded(slowest.answer.Took), slowest.target.Signal)
		latency.Advice = "Look at the load of the Collector and the way to it; the attempt of an exporter ends after OTEL_EXPORTER_OTLP_TIMEOUT."
	}
	findings = append(findings, latency)
	for _, a := range attempts {
		if !a.answer.Date.IsZero() {
			return append(findings, p.clock(a.answer, time.Now()))
		}
	}
	return findings
}

// clock compares those of both ends, as far as whole seconds tell.
func (p push) clock(a exporters.Answer, now time.Time) Finding {
	f := Finding{Part: partOTLP, Check: "clock"}
	apart := a.Date.Sub(now)
	direction := "ahead of"
	if apart < 0 {
		apart, direction = -apart, "behind"
	}
	switch {
	case apart < 5*time.Second:
		f.Message = fmt.Sprintf("the clocks of %s and of this machine agree", p.Address)
		return f
	case apart < 5*time.Minute:
		f.Level = Warning
	default:
		f.Level = Failure
	}
	f.Message = fmt.Sprintf("the clock of %s is %s %s that of this machine", p.Address, rounded(apart.Round(time.Second)), direction)
	f.Advice = "Synchronise both with NTP: what comes with a time far from now is refused, or shown where nobody looks."
	return f
}

// hostOf is the host of an address.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
