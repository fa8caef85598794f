package llm

import (
	"cmp"
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/otelmon/toolkit/internal/failure"
	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/middleware"
)

// Transport returns base with telemetry of calls of LLM APIs: chat completions,
// text completions, fill-in-the-middle, embeddings and responses as OpenAI and
// those compatible with it have them, and messages as Anthropic has them. It
// knows them by their path, under any prefix such as /v1, and by the model in
// the JSON that is sent to it. Other requests are measured as by
// [middleware.Transport]. A nil base means [http.DefaultTransport].
//
// Each call, that is each attempt of a client that tries again, has one span
// "{operation} {model}" and is recorded once: when its answer was read to the
// end, reading failed, it was closed, or nobody has read for
// Config.IdleTimeout. Its duration ends before that if the answer was complete.
// docs/llm.md lists metrics, outcomes and reasons.
//
// Of a request's body up to 64 KiB are read before it is sent, until the model
// is found.
//
// The answer is as base gave it, each byte of a stream at once; what is looked
// into is bounded to 1 MiB an event, and nothing in it makes a call fail. Of
// the request's header Accept-Encoding only gzip and identity are kept, since
// other encodings could not be looked into; its body is changed only by
// Config.IncludeUsage. Neither prompts nor completions, keys or IDs of users
// are recorded, unless Config.Content says so.
//
// A call emits nothing under http.client.*, whether a [middleware.Transport]
// stands inside or around. A Transport inside another one passes calls through.
// Safe for concurrent use, as far as base is.
func Transport(base http.RoundTripper, cfg Config) http.RoundTripper {
	cfg = cfg.defaults()
	t := &transport{
		cfg:         cfg,
		plain:       middleware.Transport(base, cfg.HTTP),
		calls:       middleware.Transport(base, forCalls(cfg.HTTP)),
		instruments: newInstruments(cfg.MeterProvider),
		targets:     newTargets(cfg.Providers),
		models:      newNames("models", cfg.Models, &cfg.Memory.models),
		callers:     newNames("callers", cfg.Callers, &cfg.Memory.callers),
	}
	return t
}

// forCalls leaves a Transport nothing to do but to keep trace context and
// baggage from hosts that are not to have it.
func forCalls(cfg middleware.Config) middleware.Config {
	cfg.Disable = ^middleware.Part(0)
	if cfg.PropagateTo == nil {
		cfg.PropagateTo = []string{}
	}
	return cfg
}

type transport struct {
	cfg          Config
	plain, calls http.RoundTripper
	instruments  instruments
	targets      *targets
	models       names
	callers      names
	made         atomic.Pointer[madeTracer] // last
}

// CloseIdleConnections does what [http.Client.CloseIdleConnections] asks for.
func (t *transport) CloseIdleConnections() {
	if plain, ok := t.plain.(interface{ CloseIdleConnections() }); ok {
		plain.CloseIdleConnections()
	}
}

type insideKey struct{}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil || r.Context().Value(insideKey{}) != nil {
		return t.plain.RoundTrip(r)
	}
	api := apiOf(r)
	if api == nil {
		return t.plain.RoundTrip(r)
	}
	c := &call{transport: t, original: r, api: api, target: t.targets.of(r.URL), start: time.Now()}
	out := r.WithContext(r.Context())
	if !c.prepare(out) {
		return answerTo(r, out, t.plain)
	}
	if around := headsample.Client(r.Context()); around != nil {
		around.Claim()
	}
	c.begin()
	defer c.abandoned()
	out = out.WithContext(context.WithValue(c.ctx, insideKey{}, true))
	response, err := answerTo(r, out, t.calls)
	c.returned = true
	if err != nil || response == nil { // the latter is for [http.Client] to complain of
		c.end(failed, cmp.Or(err, failure.ErrAbandoned))
		return response, err
	}
	c.answered(response)
	return response, nil
}

// answerTo sends out, which is a copy of r.
func answerTo(r, out *http.Request, base http.RoundTripper) (*http.Response, error) {
	response, err := base.RoundTrip(out)
	if response != nil && response.Request == out {
		response.Request = r
	}
	return response, err //nolint:wrapcheck // it is base's
}
