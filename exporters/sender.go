package exporters

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/status"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// Waits between two attempts of one request.
const (
	retryFirst = time.Second
	retryMost  = 5 * time.Second
)

// sender delivers the requests of one signal, one at a time.
type sender struct {
	signal    string
	settings  settings
	transport *transport
	secrets   *strings.Replacer
	zip       *gzip.Writer // has tables of a megabyte
	slow      bool         // the last attempt took longer than the timeout
}

func newSender(signal string, s settings, t *transport) *sender {
	return &sender{signal: signal, settings: s, transport: t, secrets: masking(s.headers)}
}

// masking hides header values, which peers like to repeat when they refuse
// them.
func masking(headers map[string]string) *strings.Replacer {
	var secrets []string
	for _, value := range headers {
		secrets = append(append(secrets, value), strings.Fields(value)...)
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // one may begin with another
	var pairs []string
	for _, secret := range secrets {
		if len(secret) >= 4 {
			pairs = append(pairs, secret, "[masked]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// send tries a request until the peer has answered for good, the retry window
// is over or ctx ends. While it waits it calls idle at each change. An attempt
// after one that took too long may take twice as long, for a peer that is slow
// and would never get to the end of its answer.
func (s *sender) send(ctx context.Context, body []byte, changed <-chan struct{}, idle func()) outcome {
	deadline := time.Now().Add(s.settings.window)
	waits := backoff.ExponentialBackOff{InitialInterval: retryFirst, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: retryMost}
	waits.Reset()
	var last *failure
	for again := false; ; again = true {
		back := s.transport.health.back()
		o := s.attempt(ctx, body, again, deadline, idle)
		if o.failure == nil || !o.failure.retry && ctx.Err() == nil {
			return o
		}
		if ctx.Err() != nil && last != nil {
			o.failure = last // says more than that the time was over
		}
		last = o.failure
		wait := min(waits.NextBackOff(), retryMost)
		if last.after > 0 { // also when the peer takes other requests
			wait, back = max(wait, last.after), nil
			s.transport.health.wait(s.signal, min(wait, time.Until(deadline)))
		}
		last.reason = telemetry.LostShutdown
		if !pause(ctx, min(wait, time.Until(deadline)), back, changed, idle) {
			return o
		}
		last.reason = telemetry.LostExpired
		if time.Until(deadline) <= 0 {
			return o
		}
		s.transport.reconnect()
	}
}

// pause waits for a while, or until the peer is back, and reports false when ctx
// ended first.
func pause(ctx context.Context, wait time.Duration, back, changed <-chan struct{}, idle func()) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for ctx.Err() == nil {
		idle()
		select {
		case <-timer.C:
			return true
		case <-back:
			return true
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// compress returns new memory, since an attempt that was cut off may still read
// what it was given.
func (s *sender) compress(body []byte) []byte {
	var buffer bytes.Buffer
	if s.zip == nil {
		s.zip = gzip.NewWriter(&buffer)
	}
	s.zip.Reset(&buffer)
	_, _ = s.zip.Write(body) // a Buffer takes everything
	_ = s.zip.Close()
	return buffer.Bytes()
}

// attempt makes one call, or another one again. It calls idle before it tells how
// that went, so that what was lost meanwhile is part of it.
func (s *sender) attempt(ctx context.Context, body []byte, again bool, deadline time.Time, idle func()) outcome {
	timeout := s.settings.timeout
	if s.slow {
		timeout *= 2
	}
	bounded, cancel := context.WithTimeout(ctx, min(timeout, time.Until(deadline)))
	defer cancel()
	began := time.Now()
	o := s.transport.call(bounded, s, body, again)
	s.slow = time.Since(began) >= s.settings.timeout
	if o.failure != nil && ctx.Err() != nil { // says nothing about the peer
		return outcome{failure: &failure{reason: telemetry.LostShutdown, err: fmt.Errorf("no answer in time: %w", ctx.Err())}}
	}
	s.mask(&o)
	idle()
	s.transport.health.attempt(s.signal, o)
	return o
}

// mask hides secrets in what the peer said, before that is cut short, which could
// leave a part of one.
func (s *sender) mask(o *outcome) {
	o.message = s.secrets.Replace(o.message)
	if o.failure == nil {
		return
	}
	text := plain(o.failure.err)
	masked := s.secrets.Replace(text)
	if masked == text {
		return
	}
	answer, ok := status.FromError(o.failure.err)
	o.failure.err = errors.New(masked)
	if ok {
		o.failure.err = status.Error(answer.Code(), masked)
	}
}
