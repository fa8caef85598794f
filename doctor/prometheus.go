package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// prometheus looks at a Prometheus through its HTTP API. A server that speaks
// only a part of it, as Mimir and Thanos do, is asked what it knows.
func prometheus(ctx context.Context, cfg Config) []Finding {
	p := newPromAPI(cfg)
	identity, is := p.identity(ctx)
	if !is {
		return identity
	}
	settings := p.settings(ctx)
	checks := []func() []Finding{
		settings.findings,
		func() []Finding { return p.targets(ctx, cfg) },
		func() []Finding { return p.services(ctx, cfg, settings) },
		func() []Finding { return p.rules(ctx) },
	}
	found := make([][]Finding, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() { found[i] = check() })
	}
	running.Wait()
	for _, findings := range found {
		identity = append(identity, findings...)
	}
	return identity
}

func promFinding(check string, level Level, message, advice string) Finding {
	return Finding{Part: "prometheus", Check: check, Level: level, Message: message, Advice: advice}
}

// promFailed is the finding that a check could not be made.
func promFailed(check string, err error) Finding {
	if errors.Is(err, errInterrupted) {
		return unfinished("prometheus", "finding out about "+check, errInterrupted)
	}
	if isMissing(err) || errors.Is(err, errTooLarge) {
		return promFinding(check, OK, "not checked: "+err.Error(), "")
	}
	return promFinding(check, Failure, err.Error(), "See the log of Prometheus.")
}

// A promAPI asks a Prometheus as many questions at a time as it has slots.
type promAPI struct {
	client  *http.Client
	base    string
	slots   chan struct{}
	answers *decoder
}

func newPromAPI(cfg Config) promAPI {
	return promAPI{client: cfg.Client, base: cfg.PrometheusURL, slots: make(chan struct{}, 4), answers: &decoder{}}
}

// get asks for a path below /api/v1/ and fills in data.
func (p promAPI) get(ctx context.Context, path string, args url.Values, data any) (answer, error) {
	path = "/api/v1/" + path
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("no answer: %w", because(ctx, ctx.Err()))
	}
	if p.answers.full() {
		return answer{}, errTooLarge
	}
	a, err := fetch(ctx, p.client, join(p.base, path+"?"+args.Encode()), nil, maxAPIBytes)
	if err != nil {
		return a, err
	}
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	err = p.answers.decode(a.body, &envelope)
	switch {
	case errors.Is(err, errTooLarge):
		return a, err
	case err != nil || envelope.Status != "success" && envelope.Status != "error":
		return a, unexpected(path, a)
	case envelope.Status == "error":
		return a, &statusError{path: path, status: a.status, text: "“" + printable(envelope.Error) + "”"}
	}
	if err := json.Unmarshal(envelope.Data, data); err != nil {
		return a, fmt.Errorf("%s answers with data of another form", path)
	}
	return a, nil
}

// A promSample is an element of an instant vector.
type promSample struct {
	labels map[string]string
	value  float64
}

func (s *promSample) UnmarshalJSON(b []byte) error {
	var raw struct {
		Metric map[string]string
		Value  [2]json.Number // the second is a text, which a Number takes as well
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	s.labels = raw.Metric
	var err error
	s.value, err = raw.Value[1].Float64()
	return err
}

// query evaluates an expression at a time; the zero time is the server's now.
func (p promAPI) query(ctx context.Context, expr string, at time.Time) ([]promSample, error) {
	args := url.Values{"query": {expr}}
	if !at.IsZero() {
		args.Set("time", unixSeconds(at))
	}
	var data struct{ Result []promSample }
	_, err := p.get(ctx, "query", args, &data)
	return data.Result, err
}

func unixSeconds(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }

// identity says whether a Prometheus answers, which one, and how its clock goes.
func (p promAPI) identity(ctx context.Context) ([]Finding, bool) {
	var ignored json.RawMessage
	a, err := p.get(ctx, "query", url.Values{"query": {"vector(1)"}}, &ignored)
	if err != nil {
		return []Finding{notAPI("prometheus", "Prometheus", p.base, err)}, false
	}
	var build struct{ Version string }
	_, err = p.get(ctx, "status/buildinfo", nil, &build)
	name := "Prometheus " + printable(build.Version)
	switch {
	case err != nil:
		name = "an API of Prometheus that does not tell its version"
	case build.Version == "":
		name = "Prometheus, a build without a version"
	}
	found := []Finding{promFinding("reachable", OK, fmt.Sprintf("%s answers with %s within %s", shown(p.base), name, a.took.Round(time.Millisecond)), "")}
	return append(found, clockFinding("prometheus", a)...), true
}
