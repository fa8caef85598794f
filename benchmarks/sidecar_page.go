package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// sidecars is what proxies are compared in.
type sidecars struct {
	requests []sidecarResult
	// delivered is the share of the spans that arrived of the proxy that samples
	// all.
	delivered float64
	streams   []*streamed
	bodies    []grown
	nginx     string // its version
	// sizes are how much of it there was.
	sizes sidecarSizes
}

// sidecarSizes is how much is measured.
type sidecarSizes struct {
	rounds    int // of requests
	turn      time.Duration
	again     int // rounds of streams
	streams   int
	length    time.Duration // of streams
	bodyBytes int64
}

func sizesOf(rounds int, length time.Duration) sidecarSizes {
	return sidecarSizes{
		rounds: 2 * rounds, turn: length / 20, again: (rounds + 4) / 5, streams: 1000, length: length, bodyBytes: 1 << 30,
	}
}

func compareSidecars(ctx context.Context, sizes sidecarSizes) (_ *sidecars, err error) {
	p, err := startProxies(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	s := &sidecars{nginx: nginxVersion(ctx, p.nginx), sizes: sizes}
	if s.requests, err = p.compareRequests(ctx, sizes.rounds, sizes.turn); err != nil {
		return nil, err
	}
	if s.delivered, err = p.delivered(ctx, s.requests); err != nil {
		return nil, err
	}
	if s.streams, err = p.compareStreams(ctx, sizes.again, sizes.streams, sizes.length); err != nil {
		return nil, err
	}
	s.bodies, err = p.compareBodies(ctx, sizes.bodyBytes)
	return s, err
}

// delivered counts the spans of the proxy that samples all: it has ended, and
// each request left two.
func (p *proxies) delivered(ctx context.Context, results []sidecarResult) (float64, error) {
	requests := 0
	for _, r := range results {
		for _, l := range r.proxies {
			if l.name == nameSidecarAll {
				requests += l.requests
			}
		}
	}
	got, err := p.collectors[nameSidecarAll].received(ctx)
	return float64(got) / float64(2*requests), err
}

const sidecarIntro = `
## What a side-car adds

Proxies run in processes of their own, all in front of the same upstream, which is a service with one small answer and plays an
LLM API. Client, proxy, upstream and Collector share the machine and are busy all the time.

- **ReverseProxy** is net/http/httputil's with a pool of buffers, each write flushed, on a transport that keeps connections. There are
  two: how they differ is noise.
- **otelmon** is package proxy as %[1]sotelmon proxy%[1]s runs it, with /metrics and a Collector in another process, once with 1 %% of the
  traces sampled and once with all; of the latter %.1[2]f %% of the spans arrived.
- **nginx** %[3]s: one worker, connections to the upstream kept, no buffering, no log.

%[4]d clients send requests, each as soon as its last one is answered. The proxies take turns of %[5]s, in an order that changes,
%[6]d each. A ratio compares with the first line in the same round: the median of the rounds, and in parentheses the least and the most.
*CPU* is the processor time of the proxy for one request, exporting included.

| Request | Through | per second | × | P50, µs | × | P99, µs | × | CPU, µs | × |
| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |
`

const streamsIntro = `
With %[1]d streams of an LLM API open, each of 5 events a second, for %[2]s: *memory* is the most that was resident, and *delay* the time
from when the upstream wrote an event to when the client read it, the median of %[3]d turns of fresh processes. A body of %[4]d MiB goes through
and as much comes back, of any service and of an LLM API; *grew* is by how much more memory was resident then than after a
small one.

| Through | memory, MiB | × | delay P50, µs | more, µs | delay P99, µs | more, µs | grew, MiB | grew by an LLM call, MiB |
| --- | --: | --: | --: | --: | --: | --: | --: | --: |
`

func sidecarSection(s *sidecars) string {
	var b strings.Builder
	fmt.Fprintf(&b, sidecarIntro, "`", 100*s.delivered, s.nginx, sidecarConnections, s.sizes.turn, s.sizes.rounds)
	for _, r := range s.requests {
		b.WriteString(r.lines())
	}
	fmt.Fprintf(&b, streamsIntro, s.sizes.streams, s.sizes.length, s.sizes.again, s.sizes.bodyBytes>>20)
	for i := range s.streams {
		b.WriteString(streamLine(s.streams[i], s.streams[0], s.bodies[i]))
	}
	return b.String()
}

func (r sidecarResult) lines() string {
	const most, least = 1.15, 0.9
	var b strings.Builder
	first := r.proxies[0]
	for _, l := range r.proxies {
		if l == first {
			fmt.Fprintf(&b, "| %s | %s | %.0f | - | %.0f | - | %.0f | - | %.1f | - |\n", r.name, l.name,
				medianOf(l.perSecond), medianOf(l.p50)/1e3, medianOf(l.p99)/1e3, medianOf(l.cpu)/1e3)
			continue
		}
		target := 0.0
		rate, median := ratios(l.perSecond, first.perSecond)
		if l.name == nameSidecar {
			rate, target = noLess(rate, median, least), most
		}
		fmt.Fprintf(&b, "| | %s | %.0f | %s | %.0f | %s | %.0f | %s | %.1f | %s |\n", l.name,
			medianOf(l.perSecond), rate, medianOf(l.p50)/1e3, spread(l.p50, first.p50, target),
			medianOf(l.p99)/1e3, spread(l.p99, first.p99, target), medianOf(l.cpu)/1e3, spread(l.cpu, first.cpu, 0))
	}
	return b.String()
}

// streamLine has targets for otelmon: memory may be half as much again and
// 20 MiB more.
func streamLine(s, first *streamed, g grown) string {
	const half, more, soon, late, grow = 1.5, 20, 2_000, 10_000, 16
	base := medianOf(first.peak)
	memory, p50, p99 := medianOf(s.peak), medianOf(s.p50)/1e3, medianOf(s.p99)/1e3
	if s == first {
		return fmt.Sprintf("| %s | %.0f | - | %.0f | - | %.0f | - | %.1f | %.1f |\n", s.name, memory, p50, p99, g.plain, g.asked)
	}
	added, addedLate := p50-medianOf(first.p50)/1e3, p99-medianOf(first.p99)/1e3
	text, times := fmt.Sprintf("%.0f", memory), fmt.Sprintf("%.2f", memory/base)
	p50Text, p99Text := fmt.Sprintf("%.0f", added), fmt.Sprintf("%.0f", addedLate)
	plain, asked := fmt.Sprintf("%.1f", g.plain), fmt.Sprintf("%.1f", g.asked)
	if s.name == nameSidecar {
		text = against(text, memory, math.Round(half*base+more))
		p50Text, p99Text = against(p50Text, added, soon), against(p99Text, addedLate, late)
		plain, asked = against(plain, g.plain, grow), against(asked, g.asked, grow)
	}
	return fmt.Sprintf("| %s | %s | %s | %.0f | %s | %.0f | %s | %s | %s |\n", s.name, text, times, p50, p50Text, p99, p99Text, plain, asked)
}

// noLess is against for what is to be large.
func noLess(text string, value, target float64) string {
	if value < target {
		text = "**" + text + "**"
	}
	return fmt.Sprintf("%s, target %v", text, target)
}
