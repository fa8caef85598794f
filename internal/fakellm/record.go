package fakellm

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	defaultRecords = 20_000
	maxModels      = 1_000
)

// Record is the truth about one request. Times have a monotonic clock, are
// those after the write, and are zero for what did not happen.
type Record struct {
	// ID is the id in the answer, or the request id of its headers if it has
	// none. Both end in the same number.
	ID string
	// Path, Model, Stream and IncludeUsage are those of the [Request].
	Path, Model          string
	Stream, IncludeUsage bool
	// Answer is what was chosen.
	Answer Answer
	// Status is the status that was sent, 0 if the client left before.
	Status int
	// Events are those of a stream that were written, its end included and
	// keep-alives not. Bytes are those of the body, after compression.
	Events int
	Bytes  int64
	// Usage is what was told on the wire. UsageSent is whether it was told at
	// all; InputSent is whether only its input was, as at the start of a
	// stream of Anthropic.
	Usage                Usage
	UsageSent, InputSent bool
	// Complete is whether everything was written that belongs to a correct
	// answer of this status, with no fault in between. ClientLeft is whether
	// the client was gone before everything was written. What was written may
	// not have been read.
	Complete, ClientLeft bool
	// FirstToken is that of the text, of the reasoning or of a tool call;
	// FirstAnswer is not that of the reasoning.
	Arrived, HeadersSent, FirstKeepAlive, FirstEvent, FirstToken, FirstAnswer, LastByte time.Time
}

// Totals are sums over all requests that ended.
type Totals struct {
	// Requests ended, InFlight did not yet. The others count those that were
	// Complete, ClientLeft and UsageSent in their [Record].
	Requests, InFlight, Complete, ClientLeft, UsageSent int64
	Events, Bytes                                       int64
	// Usage is the sum of what was told, ByModel the same by the model of the
	// answer, of the first 1,000 models. InputOnly is what was told by streams
	// that told only the input.
	Usage, InputOnly Usage
	ByModel          map[string]Usage
}

// ledger keeps records and totals. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	keep    int
	records []Record // a ring when full
	next    int
	totals  Totals
	idle    chan struct{} // closed when nothing is in flight; nil when nobody waits
}

// Keep sets how many records are kept, 20,000 by default; the oldest go
// first. Those that are kept already are dropped. With 0 only totals are kept,
// for benchmarks.
func (u *Upstream) Keep(records int) {
	u.ledger.mu.Lock()
	defer u.ledger.mu.Unlock()
	u.ledger.keep, u.ledger.records, u.ledger.next = max(records, 0), nil, 0
}

// Records are the requests that ended, in the order in which they did. A
// client can know the end of an answer before its request is here: see Wait.
func (u *Upstream) Records() []Record {
	l := &u.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(append([]Record(nil), l.records[l.next:]...), l.records[:l.next]...)
}

// Record is the one with this id, if it is kept.
func (u *Upstream) Record(id string) (Record, bool) {
	l := &u.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.records, func(r Record) bool { return r.ID == id })
	if i < 0 {
		return Record{}, false
	}
	return l.records[i], true
}

// Totals are the sums over the requests that ended, those included whose
// records are no longer kept.
func (u *Upstream) Totals() Totals {
	u.ledger.mu.Lock()
	defer u.ledger.mu.Unlock()
	totals := u.ledger.totals
	totals.ByModel = maps.Clone(totals.ByModel)
	return totals
}

// Wait returns when no request is in flight, so that Records and Totals are
// those of everything that clients have seen. The error is that of the
// context.
func (u *Upstream) Wait(ctx context.Context) error {
	for {
		idle := u.ledger.whenIdle()
		if idle == nil {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *ledger) whenIdle() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.totals.InFlight == 0 {
		return nil
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	return l.idle
}

func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.InFlight++
}

func (l *ledger) end(r *Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.add(r)
	l.totals.InFlight--
	if l.totals.InFlight == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
	switch {
	case len(l.records) < l.keep:
		l.records = append(l.records, *r)
	case l.keep > 0:
		l.records[l.next] = *r
		l.next = (l.next + 1) % l.keep
	}
}

func (t *Totals) add(r *Record) {
	t.Requests++
	t.Complete += count(r.Complete)
	t.ClientLeft += count(r.ClientLeft)
	t.Events += int64(r.Events)
	t.Bytes += r.Bytes
	switch {
	case r.UsageSent:
		t.UsageSent++
		t.Usage = t.Usage.plus(r.Usage)
		t.addModel(r)
	case r.InputSent:
		t.InputOnly = t.InputOnly.plus(r.Usage)
	}
}

func (t *Totals) addModel(r *Record) {
	model := responseModel(r.Answer, r.Model)
	sum, known := t.ByModel[model]
	if !known && len(t.ByModel) >= maxModels {
		return
	}
	t.ByModel[model] = sum.plus(r.Usage)
}

func (u Usage) plus(v Usage) Usage {
	return Usage{
		UncachedInput:   u.UncachedInput + v.UncachedInput,
		CachedInput:     u.CachedInput + v.CachedInput,
		CacheWrite:      u.CacheWrite + v.CacheWrite,
		AnswerTokens:    u.AnswerTokens + v.AnswerTokens,
		ReasoningTokens: u.ReasoningTokens + v.ReasoningTokens,
	}
}

// The sums that APIs tell.
func (u Usage) input() int64  { return u.UncachedInput + u.CachedInput + u.CacheWrite }
func (u Usage) output() int64 { return u.AnswerTokens + u.ReasoningTokens }

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
