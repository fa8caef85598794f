package fakellm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxRequest       = 64 << 20
	defaultKeepAlive = time.Second
	requestID        = "req_00000000000000000000"
)

// Upstream is an http.Handler that answers as LLM APIs do. Safe for concurrent
// use. It starts nothing that outlives its requests.
type Upstream struct {
	next    func(Request) Answer
	last    atomic.Uint64 // request number
	scripts scripts
	gzips   sync.Pool
	ledger  ledger
}

// New returns an upstream that asks next for the answer to each request, from
// several goroutines at once; with nil each is a plain short one. The Body and
// Header of the request are not kept.
func New(next func(Request) Answer) *Upstream {
	if next == nil {
		next = plain
	}
	return &Upstream{next: next, ledger: ledger{keep: defaultRecords, totals: Totals{ByModel: map[string]Usage{}}}}
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler, as a
// handler does, where the answer is a reset.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{
		ctx: r.Context(), w: w, number: u.last.Add(1),
		record: Record{Arrived: time.Now(), Path: r.URL.Path},
	}
	u.ledger.begin()
	defer func() { u.ledger.end(&c.record) }()
	c.of.api = apiOf(r.URL.Path)
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/models"):
		c.whole(http.StatusOK, modelList)
	case r.Method != http.MethodPost || c.of.api == unknown:
		c.of.answer.Vendor = OpenAI
		c.refuse(http.StatusNotFound)
	default:
		u.answer(c, r)
	}
}

func (u *Upstream) answer(c *call, r *http.Request) {
	request, err := readRequest(c.w, r)
	c.of.answer.Vendor = vendorOf(request)
	if err != nil {
		c.refuse(http.StatusBadRequest)
		return
	}
	answer := u.next(request)
	c.record.Model, c.record.Stream, c.record.IncludeUsage = request.Model, request.Stream, request.IncludeUsage
	c.record.Answer = answer
	c.of = shape{
		api: c.of.api, stream: request.Stream && c.of.api != embeddings && answer.Cut != CutHTML,
		includeUsage: request.IncludeUsage, model: responseModel(answer, request.Model), answer: answer,
	}
	if answer.Gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		c.gzips = &u.gzips
	}
	if !c.wait(answer.HeaderDelay) {
		c.record.ClientLeft = true
		return
	}
	if answer.Status >= http.StatusBadRequest {
		c.refuse(answer.Status)
		return
	}
	c.play(u.scripts.get(c.of))
}

func readRequest(w http.ResponseWriter, r *http.Request) (Request, error) {
	request := Request{Path: r.URL.Path, Header: r.Header}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return request, fmt.Errorf("read the request: %w", err)
	}
	var fields struct {
		Model         string `json:"model"`
		Stream        bool   `json:"stream"`
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if err := json.Unmarshal(body, &fields); err != nil {
		return request, fmt.Errorf("read the request: %w", err)
	}
	request.Body, request.Model, request.Stream = body, fields.Model, fields.Stream
	request.IncludeUsage = fields.Stream && fields.StreamOptions.IncludeUsage
	return request, nil
}

// call is one request that is being answered.
type call struct {
	ctx    context.Context
	w      http.ResponseWriter
	number uint64
	of     shape
	gzips  *sync.Pool // nil when not compressed
	out    *output
	timer  *time.Timer
	record Record
}

// wait is false if the client left meanwhile.
func (c *call) wait(d time.Duration) bool {
	if d <= 0 {
		return c.ctx.Err() == nil
	}
	if c.timer == nil {
		c.timer = time.NewTimer(d)
	} else {
		c.timer.Reset(d)
	}
	select {
	case <-c.timer.C:
		return true
	case <-c.ctx.Done():
		c.timer.Stop()
		return false
	}
}

// hexNumber ends the ids of an answer.
func (c *call) hexNumber() string { return fmt.Sprintf("%012x", c.number&(1<<48-1)) }

// header sets what goes before the body, and the request id under the name
// that the vendor has for it.
func (c *call) header(contentType, id string) {
	c.record.ID = id
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	switch {
	case c.of.api == messages:
		h.Set("Request-Id", requestID+c.hexNumber())
	case c.of.answer.Vendor == DeepSeek:
		h.Set("X-Ds-Trace-Id", strings.Repeat("0", 20)+c.hexNumber())
	default:
		h.Set("X-Request-Id", requestID+c.hexNumber())
	}
	if c.of.stream {
		h.Set("Cache-Control", "no-cache")
	}
	if c.gzips != nil {
		h.Set("Content-Encoding", "gzip")
	}
}

// refuse sends an error.
func (c *call) refuse(status int) {
	retryAfter(c.w.Header(), c.of.answer.Vendor, c.of.answer.RetryAfter)
	c.of.stream, c.gzips = false, nil
	c.whole(status, errorBody(c.of, status))
}

// whole sends a body at once.
func (c *call) whole(status int, body string) {
	c.header("application/json", requestID+c.hexNumber())
	body = strings.ReplaceAll(body, idMark, c.hexNumber())
	c.record.Status = status
	c.w.WriteHeader(status)
	n, err := io.WriteString(c.w, body)
	c.record.HeadersSent = time.Now()
	c.record.LastByte = c.record.HeadersSent
	c.record.Bytes, c.record.Complete, c.record.ClientLeft = int64(n), err == nil, err != nil
}

// play sends a prepared answer.
func (c *call) play(s *script) {
	c.header(s.contentType, c.of.api.idPrefix(c.of.answer.Vendor)+c.hexNumber())
	if c.hasLength() {
		c.w.Header().Set("Content-Length", strconv.Itoa(len(s.events[0].data)))
	}
	c.out = newOutput(c.w, c.gzips, c.of.answer.Split)
	defer c.out.free()
	ok := c.keepAlive() && c.events(s)
	c.record.Bytes = c.out.bytes
	if !ok {
		c.record.ClientLeft = true
		return
	}
	c.end()
}

// hasLength is whether the body is an object and nothing else.
func (c *call) hasLength() bool {
	a := c.of.answer
	return !c.of.stream && c.gzips == nil && a.Queue <= 0 && a.Cut != CutReset && a.Cut != CutHang
}

// end does what the fault is, once everything before it is sent.
func (c *call) end() {
	switch c.of.answer.Cut {
	case CutReset:
		reset(c.w)
	case CutHang:
		<-c.ctx.Done()
		c.record.ClientLeft = true
	default:
		ok := c.out.close()
		c.record.Bytes = c.out.bytes
		c.record.Complete = ok && c.of.answer.Cut == CutNone
	}
}

// keepAlive sends the headers of a stream, and passes the time in the queue.
func (c *call) keepAlive() bool {
	queue := c.of.answer.Queue
	if c.of.stream || queue > 0 {
		c.record.Status = http.StatusOK
		c.w.WriteHeader(http.StatusOK)
		if !c.out.flush() {
			return false
		}
		c.record.HeadersSent = time.Now()
	}
	every := c.of.answer.KeepAlive
	if every <= 0 {
		every = defaultKeepAlive
	}
	for ; queue > 0; queue -= every {
		if !c.out.send(c.keepAliveLine()) {
			return false
		}
		first(&c.record.FirstKeepAlive, time.Now())
		if !c.wait(min(every, queue)) {
			return false
		}
	}
	return true
}

func (c *call) keepAliveLine() []byte {
	line := "\n"
	if c.of.stream {
		line = ": keep-alive\n\n"
	}
	if c.of.answer.CRLF {
		line = strings.ReplaceAll(line, "\n", "\r\n")
	}
	return []byte(line)
}

func (c *call) events(s *script) bool {
	var buffer []byte
	number := c.hexNumber()
	for i := range s.events {
		e := &s.events[i]
		if !c.wait(e.pause) {
			return false
		}
		buffer = append(buffer[:0], e.data...)
		for _, at := range e.ids {
			copy(buffer[at:], number)
		}
		if e.stamp >= 0 {
			copy(buffer[e.stamp:], fmt.Sprintf("%019d", time.Now().UnixNano()))
		}
		if !c.out.send(buffer) {
			return false
		}
		c.sent(e, s.usage)
	}
	return true
}

// sent records an event.
func (c *call) sent(e *event, usage Usage) {
	now := time.Now()
	r := &c.record
	r.LastByte, r.Status = now, http.StatusOK
	if r.HeadersSent.IsZero() {
		r.HeadersSent = now
	}
	if c.of.stream {
		r.Events++
		first(&r.FirstEvent, now)
	}
	switch e.kind {
	case answering:
		first(&r.FirstAnswer, now)
		first(&r.FirstToken, now)
	case reasoning:
		first(&r.FirstToken, now)
	default:
	}
	switch e.tells {
	case allUsage:
		r.Usage, r.UsageSent, r.InputSent = usage, true, false
	case inputOnly:
		usage.AnswerTokens, usage.ReasoningTokens = 0, 0
		r.Usage, r.InputSent = usage, true
	default:
	}
}

func first(at *time.Time, now time.Time) {
	if at.IsZero() {
		*at = now
	}
}

// reset breaks the connection off, so that the client gets an error and not an
// end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // as with HTTP/2, which resets the stream for this panic
		panic(http.ErrAbortHandler) //nolint:forbidigo // the way that net/http has for it
	}
	inner := conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		inner = secure.NetConn()
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // otherwise it ends with a FIN, which is a break too
	}
	_ = inner.Close()
}
