package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxTraces is how many exemplars are followed.
const maxTraces = 5

// flushed is the age from which on a trace should have arrived: batches, retries
// and tail sampling take some time.
const flushed = 30 * time.Second

// tempo looks whether the traces that exemplars lead to are in a Tempo.
func tempo(ctx context.Context, cfg Config) []Finding {
	found, is := tempoIdentity(ctx, cfg)
	if !is {
		return found
	}
	exemplars := latest(tempoExemplars(ctx, cfg), time.Now())
	if len(exemplars) == 0 {
		return append(found, noExemplar(cfg))
	}
	var (
		spans   = make([]int, len(exemplars))
		errs    = make([]error, len(exemplars))
		running sync.WaitGroup
		answers decoder
	)
	for i, e := range exemplars {
		running.Go(func() { spans[i], errs[i] = spansOf(ctx, cfg, &answers, e.trace) })
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return append(found, tempoFailed(err))
		}
	}
	return append(found, tracesFinding(exemplars, spans))
}

func tempoFinding(check string, level Level, message, advice string) Finding {
	return Finding{Part: "tempo", Check: check, Level: level, Message: message, Advice: advice}
}

// tempoIdentity says whether a Tempo answers, and is ready.
func tempoIdentity(ctx context.Context, cfg Config) ([]Finding, bool) {
	a, err := fetch(ctx, cfg.Client, join(cfg.TempoURL, "/api/echo"), nil, maxAPIBytes)
	if err == nil && (a.status != http.StatusOK || string(a.body) != "echo") {
		err = unexpected("/api/echo", a)
	}
	if err != nil {
		return []Finding{notAPI("tempo", "Tempo", cfg.TempoURL, err)}, false
	}
	name := "Tempo"
	var build struct{ Version string }
	b, err := fetch(ctx, cfg.Client, join(cfg.TempoURL, "/api/status/buildinfo"), nil, maxAPIBytes)
	if err == nil && b.status == http.StatusOK && json.Unmarshal(b.body, &build) == nil && build.Version != "" {
		name += " " + printable(build.Version)
	}
	found := []Finding{tempoFinding("reachable", OK, fmt.Sprintf("%s answers with %s within %s", shown(cfg.TempoURL), name, a.took.Round(time.Millisecond)), "")}
	found = append(found, clockFinding("tempo", a)...)
	// A gateway in front of several Tempos has no such page.
	r, err := fetch(ctx, cfg.Client, join(cfg.TempoURL, "/ready"), nil, maxAPIBytes)
	if err == nil && r.status == http.StatusServiceUnavailable {
		found = append(found, tempoFinding("ready", Warning, "is not ready: "+printable(string(r.body)), "Wait until it is, or see its log."))
	}
	return found, true
}

// tempoExemplars returns what traces there should be: those of exemplars in
// Prometheus, or else on the page of metrics.
func tempoExemplars(ctx context.Context, cfg Config) []exemplar {
	page := pageOf(ctx, cfg)
	if cfg.PrometheusURL == "" {
		return page.exemplars
	}
	p := newPromAPI(cfg)
	is := `service_name!=""`
	if service := serviceName(cfg, page); service != "" {
		is = `service_name=~"` + anyOf([]string{service}) + `"`
	}
	series, err := p.exemplarSeries(ctx, is)
	var stored []exemplar
	for _, s := range series {
		for _, e := range s.Exemplars {
			stored = append(stored, exemplar{e.Labels["trace_id"], time.UnixMilli(int64(e.Timestamp * 1000))})
		}
	}
	if err != nil || len(stored) == 0 {
		return page.exemplars
	}
	return stored
}

// latest returns the newest few exemplars, of different traces, that are old enough
// for their traces to have arrived, and then younger ones.
func latest(exemplars []exemplar, now time.Time) []exemplar {
	isYoung := func(e exemplar) bool { return now.Sub(e.at) < flushed }
	exemplars = slices.DeleteFunc(exemplars, func(e exemplar) bool { return !isTraceID(e.trace) })
	slices.SortFunc(exemplars, func(a, b exemplar) int {
		if young := isYoung(a); young != isYoung(b) {
			return map[bool]int{true: 1, false: -1}[young]
		}
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.trace, b.trace))
	})
	exemplars = slices.CompactFunc(exemplars, func(a, b exemplar) bool { return a.trace == b.trace })
	return exemplars[:min(len(exemplars), maxTraces)]
}

// isTraceID says that a text may be a part of a URL.
func isTraceID(text string) bool {
	for _, r := range text {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return len(text) == 32
}

func noExemplar(cfg Config) Finding {
	f := tempoFinding("trace", Warning, "not checked, as there is no exemplar whose trace could be looked for", "")
	switch {
	case cfg.PrometheusURL != "":
		f.Advice = "See what the findings of prometheus say of exemplars."
	case cfg.MetricsURL != "":
		f.Advice = "Send the service some requests that are sampled; see the findings of metrics."
	default:
		f.Advice = "Say where exemplars are: --prometheus or --metrics."
	}
	return f
}

// tempoTrace is a trace as both versions of the API tell it; its spans are only
// counted.
type tempoTrace struct {
	Trace         *tempoTrace
	Batches       []tempoBatch
	ResourceSpans []tempoBatch
}

type tempoBatch struct {
	ScopeSpans []struct{ Spans []struct{} }
}

func (t *tempoTrace) spans() (n int) {
	if t.Trace != nil {
		t = t.Trace
	}
	for _, batch := range append(t.Batches, t.ResourceSpans...) {
		for _, scope := range batch.ScopeSpans {
			n += len(scope.Spans)
		}
	}
	return n
}

// spansOf returns how many spans of a trace there are, 0 if it is not there. The
// second version of the API is asked first, as the first one will be gone, and is
// the only one of older releases.
func spansOf(ctx context.Context, cfg Config, answers *decoder, id string) (int, error) {
	for _, path := range []string{"/api/v2/traces/", "/api/traces/"} {
		a, err := fetch(ctx, cfg.Client, join(cfg.TempoURL, path+id), http.Header{"Accept": {"application/json"}}, maxAPIBytes)
		if errors.Is(err, errTooLarge) {
			return 1, nil // it is there, and nobody wants to count its spans
		}
		if err != nil {
			return 0, err
		}
		if a.status == http.StatusNotFound {
			continue
		}
		if a.status != http.StatusOK {
			return 0, unexpected(path+id, a)
		}
		var trace tempoTrace
		switch err := answers.decode(a.body, &trace); {
		case errors.Is(err, errTooLarge):
			return 1, nil
		case err != nil:
			return 0, unexpected(path+id, a)
		}
		return trace.spans(), nil
	}
	return 0, nil
}

func tempoFailed(err error) Finding {
	if errors.Is(err, errInterrupted) {
		return unfinished("tempo", "looking for traces", errInterrupted)
	}
	f := tempoFinding("trace", Failure, err.Error(), "See the log of Tempo.")
	if unauthorized(err) {
		f.Advice = "Put the credentials into the URL. With multitenancy_enabled each request needs X-Scope-OrgID: give the URL of a proxy that adds it."
	}
	return f
}

// tracesFinding says how many of the traces are there.
func tracesFinding(exemplars []exemplar, spans []int) Finding {
	there, all := 0, 0
	missing := ""
	for i, n := range spans {
		switch {
		case n > 0:
			there++
			all += n
		case missing == "":
			missing = fmt.Sprintf("%s, %s old", exemplars[i].trace, time.Since(exemplars[i].at).Round(time.Second))
		}
	}
	if missing == "" {
		return tempoFinding("trace", OK, fmt.Sprintf("the traces of %d exemplars are there, with %d spans", there, all), "")
	}
	f := tempoFinding("trace", Warning, fmt.Sprintf("%d of %d traces that exemplars lead to are not there, such as %s", len(spans)-there, len(spans), missing),
		"They may have been dropped by tail sampling, be older than the retention, or be of another tenant (X-Scope-OrgID).")
	young := time.Since(exemplars[0].at) < flushed
	switch {
	case there == 0 && young:
		f.Advice = "They are younger than 30 s and may be on their way: try again."
	case there == 0:
		f.Level = Failure
		f.Advice = "Spans do not arrive: see the findings of otlp and of the Collector, whose exporter has to lead to this Tempo, and to this tenant (X-Scope-OrgID). Tail sampling may drop some, and retention the oldest."
	}
	return f
}
