package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// prometheus looks at a Prometheus through its HTTP API. A server that speaks
// only a part of it, as Mimir and Thanos do, is asked what it knows.
func prometheus(ctx context.Context, cfg Config) []Finding {
	p := promAPI{client: cfg.Client, base: cfg.PrometheusURL, slots: make(chan struct{}, 8)}
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
	if isMissing(err) {
		return promFinding(check, OK, "not checked: "+err.Error(), "")
	}
	return promFinding(check, Failure, err.Error(), "See the log of Prometheus.")
}

// A promAPI asks a Prometheus as many questions at a time as it has slots.
type promAPI struct {
	client *http.Client
	base   string
	slots  chan struct{}
}

// A statusError is an answer that is not what was asked for.
type statusError struct {
	path   string
	status int
	text   string // "" for a web page
}

func (e *statusError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("%s answers %d with a web page", e.path, e.status)
	}
	return fmt.Sprintf("%s answers %d: %s", e.path, e.status, e.text)
}

// isMissing says that the server does not have what it was asked for.
func isMissing(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed || e.status == http.StatusNotImplemented)
}

// unexpected describes an answer that has another status or form than it should.
func unexpected(path string, a answer) error {
	e := &statusError{path: path, status: a.status, text: "nothing"}
	switch text := printable(string(a.body)); {
	case strings.HasPrefix(text, "<"), strings.HasPrefix(a.header.Get("Content-Type"), "text/html"):
		e.text = ""
	case a.status >= 300 && a.status < 400:
		e.text = "go to " + printable(shown(a.header.Get("Location")))
	case text != "":
		e.text = text
	}
	return e
}

// get asks for a path below /api/v1/ and fills in data.
func (p promAPI) get(ctx context.Context, path string, args url.Values, data any) (answer, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("no answer: %w", because(ctx, ctx.Err()))
	}
	path = "/api/v1/" + path
	a, err := fetch(ctx, p.client, join(p.base, path+"?"+args.Encode()), nil)
	if err != nil {
		return answer{}, err
	}
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	if json.Unmarshal(a.body, &envelope) != nil || envelope.Status == "" {
		return a, unexpected(path, a)
	}
	if envelope.Status != "success" {
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

// notAPI is the finding that a URL does not lead to what it is said to be.
func notAPI(part, name, base string, err error) Finding {
	f := Finding{Part: part, Check: "reachable", Level: Failure, Message: shown(base) + ": " + err.Error()}
	status := 0
	if e, ok := errors.AsType[*statusError](err); ok {
		status = e.status
	}
	switch {
	case status == 0:
		f.Advice = name + " has to run there, and be reachable from here: check the host, the port and firewalls."
	case unauthorized(err):
		f.Advice = "Put the credentials into the URL, as http://USER:PASSWORD@HOST."
	case status >= 500:
		f.Advice = name + " may still be starting: try again, and see its log."
	default:
		f.Advice = "Give the URL where the API of " + name + " begins, without the path of a page of it, and with the prefix of a proxy if there is one."
	}
	return f
}

// maxClockDifference is more than the whole seconds of a Date header explain.
const maxClockDifference = 5 * time.Second

// clockFinding compares the clock of a server with this one; nothing for one that
// does not tell the time.
func clockFinding(part string, a answer) []Finding {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return nil
	}
	f := Finding{Part: part, Check: "clock", Message: "its clock agrees with the one here"}
	if ahead := time.Until(date).Round(time.Second); ahead.Abs() > maxClockDifference {
		f.Level = Warning
		f.Message = fmt.Sprintf("its clock is %s %s", ahead.Abs(), map[bool]string{true: "ahead", false: "behind"}[ahead > 0])
		f.Advice = "Let both hosts keep time by NTP: what is pushed with a wrong time is refused, or not seen yet."
	}
	return []Finding{f}
}

// isRefused says that the server understood a request and did not like it.
func isRefused(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusBadRequest || e.status == http.StatusUnprocessableEntity)
}

// unauthorized says that the server wants other credentials.
func unauthorized(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusUnauthorized || e.status == http.StatusForbidden)
}
