package llm

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/failure"
	"github.com/otelmon/toolkit/internal/retryafter"
	"github.com/otelmon/toolkit/internal/sse"
)

// call is one attempt to call an API, and what is recorded of it.
type call struct {
	transport    *transport
	original     *http.Request
	api          *api
	target       *target
	caller       string
	model        string // that was asked for, as far as it is known with the beginning of the body
	start        time.Time
	ctx          context.Context //nolint:containedctx // with the span
	span         trace.Span
	resent       int  // how often the client says that it tried before
	tellsRetries bool // the client says that
	request      *request
	hides        bool // the event with the usage, for which the client did not ask
	returned     bool // base did, neither by a panic nor by runtime.Goexit

	reading      atomic.Int32 // somebody is in Read
	mu           sync.Mutex   // guards what follows
	active       *options     // nil: it is not counted among those that have not ended
	chunkOptions *options
	chunks       int // but the first
	status       int // 0: there is no answer
	retryAfter   time.Duration
	answer       *answer
	decoder      *inflater // nil: the body is not compressed
	opaque       bool      // it cannot be looked into
	bytes        int64
	last         time.Duration // since start, when somebody read
	waiting      batch         // what was read and not looked into yet
	inEvent      bool          // what was read last ended within an event
	idle         *time.Timer
	ended        bool
}

// prepare makes the request to be sent out of a copy of the original. It reports
// false when it turns out to be no call: where a path alone says little, there
// has to be a model.
func (c *call) prepare(out *http.Request) bool {
	cfg := &c.transport.cfg
	c.request = newRequest(cfg.Memory.hashSeed(), max(cfg.Content.MaxBytes, 0))
	include := cfg.IncludeUsage && c.api.asksForUsage && out.Header.Get("Content-Encoding") == ""
	limit := maxAhead
	if include {
		limit = maxIncludeBody + 1 // to see whether there is more
	}
	body := c.request.attach(out, limit, include)
	c.model = c.request.facts.model
	if c.model == "" {
		c.model = deployment(out.URL.Path)
	}
	complete := body == nil || body.all()
	if c.model == "" && complete && c.api != &chatCompletions {
		return false
	}
	c.request.onModel = c.modelKnown
	if include && body != nil && complete {
		content, changed := withUsage(body.ahead, c.request.read())
		if c.hides = changed; changed {
			body.replace(out, content)
		}
	}
	narrowEncodings(out, c.hides)
	return true
}

func (c *call) begin() {
	c.caller = c.transport.callerOf(c.original)
	if told := c.original.Header.Get("X-Stainless-Retry-Count"); told != "" {
		retries, err := strconv.Atoi(told)
		c.resent, c.tellsRetries = max(retries, 0), err == nil
	}
	c.startSpan()
	c.activate()
}

// callerOf returns what Config.Caller says. What it panics with is no reason for
// the call to fail.
func (t *transport) callerOf(r *http.Request) (caller string) {
	if t.cfg.Caller == nil {
		return ""
	}
	defer func() { _ = recover() }()
	return t.cfg.Caller(r)
}

// answered takes the header of the response, and has the body looked into.
func (c *call) answered(response *http.Response) {
	c.mu.Lock()
	c.status = response.StatusCode
	c.retryAfter = min(retryafter.Wait(response.Header.Get("Retry-After"), time.Now()), maxRetryAfter)
	success := c.status >= 200 && c.status < 300
	stream := success && sse.Is(response.Header.Get("Content-Type"))
	c.answer = newAnswer(c.api, stream, success)
	c.answer.hides = c.hides
	c.answer.record(max(c.transport.cfg.Content.MaxBytes, 0))
	c.answer.onChunk = c.recordChunk
	c.last = c.elapsed()
	switch encoding := strings.ToLower(response.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		c.decoder = newInflater(func(p []byte) { c.answer.write(p, c.answer.now) })
	default:
		c.opaque = true
	}
	c.mu.Unlock()
	if c.status == http.StatusSwitchingProtocols || response.Body == nil || response.Body == http.NoBody {
		c.end(read, nil)
		return
	}
	if c.hides && stream && c.decoder == nil && !c.opaque {
		response.Header.Del("Content-Length")
		response.ContentLength = -1
		response.Body = &filteredBody{body: body{response.Body, c}}
	} else {
		response.Body = &body{response.Body, c}
	}
	c.watch()
}

// elapsed returns the time since the call began, which is never 0.
func (c *call) elapsed() time.Duration { return max(time.Since(c.start), 1) }

// received takes what was read of the body. To cost a stream little, events that
// come whole are looked into in batches, once the first token is there.
func (c *call) received(p []byte, err error) {
	c.mu.Lock()
	c.last = c.elapsed()
	c.bytes += int64(len(p))
	switch {
	case c.opaque || len(p) == 0:
	case c.ended && !c.hides: // who reads on must not see what is hidden
	case c.hides || c.inEvent || !c.answer.known() || bytes.Contains(p, c.api.endMark) || !c.waiting.add(p, c.last):
		c.waiting.drain(c.look)
		c.look(p, c.last)
	}
	if len(p) > 0 {
		c.inEvent = !bytes.HasSuffix(p, []byte("\n\n")) && !bytes.HasSuffix(p, []byte("\n\r\n"))
	}
	if c.answer.doneAt != 0 {
		c.deactivate()
	}
	c.mu.Unlock()
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		c.end(read, nil)
	default:
		c.end(failed, err)
	}
}

// look looks into what was read at the time.
func (c *call) look(p []byte, at time.Duration) {
	c.answer.now = at
	if c.decoder != nil {
		c.decoder.write(p)
	} else {
		c.answer.write(p, at)
	}
}

// watch ends the call when nobody reads its answer any more.
func (c *call) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout := c.transport.cfg.IdleTimeout
	c.idle = time.AfterFunc(timeout, func() {
		c.mu.Lock()
		left := timeout
		if c.reading.Load() == 0 {
			left -= c.elapsed() - c.last
		}
		if left > 0 && !c.ended {
			c.idle.Reset(left)
		}
		c.mu.Unlock()
		if left <= 0 {
			c.end(forgotten, nil)
		}
	})
}

// ending is how a call ended.
type ending int

const (
	read      ending = iota // to the end
	closed                  // by the caller, before that
	forgotten               // nobody reads any more
	failed                  // by an error, of the request or of its body
)

// end records the call, once.
func (c *call) end(how ending, err error) {
	var fault failure.Failure
	if err != nil {
		fault = failure.Of(c.original.Context(), err)
	}
	if end, ok := c.conclude(how, fault); ok {
		c.record(end)
		c.recordSpan(end)
	}
}

// conclude returns what there is to say of the call. It reports false but the
// first time.
func (c *call) conclude(how ending, fault failure.Failure) (conclusion, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return conclusion{}, false
	}
	c.ended = true
	if c.idle != nil {
		c.idle.Stop()
	}
	c.waiting.drain(c.look)
	if c.decoder != nil {
		c.decoder.stop()
		c.opaque = c.opaque || c.decoder.failed
	}
	if c.answer == nil {
		c.answer = newAnswer(c.api, false, false)
	}
	if how == read {
		c.answer.close()
	}
	c.deactivate()
	c.answer.onChunk = nil
	return c.conclusion(how, fault), true
}

// abandoned records a call whose base panicked, or ended its goroutine.
func (c *call) abandoned() {
	if !c.returned {
		c.end(failed, failure.ErrAbandoned)
	}
}

// key identifies what is asked for, and who asks: a hash, or 0 when the request
// was not sent as a whole.
func (c *call) key(body uint64) uint64 {
	if body == 0 {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(c.transport.cfg.Memory.hashSeed())
	for _, part := range []string{
		c.original.URL.Host, c.original.URL.Path, c.original.URL.RawQuery, c.original.Header.Get("Authorization"),
		c.original.Header.Get("X-Api-Key"), c.original.Header.Get("Api-Key"),
	} {
		_, _ = h.WriteString(part)
		_ = h.WriteByte(0)
	}
	return h.Sum64() ^ body
}
