package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// eventPause is that between two events of a stream.
const eventPause = 200 * time.Millisecond

// streamed is a proxy with many slow streams, with a number by round.
type streamed struct {
	name string
	// peak is its resident memory in MiB.
	peak []float64
	// p50 and p99 are the nanoseconds from when an event was written to when it
	// was read.
	p50, p99 []float64
}

// compareStreams has the proxies take turns, each time in a process of its own.
func (p *proxies) compareStreams(ctx context.Context, rounds, streams int, length time.Duration) ([]*streamed, error) {
	var all []*streamed
	for _, name := range p.present(nameReverse, nameSidecar, nameNginx) {
		all = append(all, &streamed{name: name})
	}
	for range rounds {
		for _, i := range rand.Perm(len(all)) {
			if err := all[i].turn(ctx, p, streams, length); err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
	}
	return all, nil
}

func (s *streamed) turn(ctx context.Context, p *proxies, streams int, length time.Duration) (err error) {
	through, err := p.start(ctx, s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, through.stop()) }()
	delays, err := openStreams(ctx, through.addresses[0], streams, length)
	if err != nil {
		return err
	}
	if len(delays) == 0 {
		return errors.New("no event came while all streams were open")
	}
	peak, err := through.peakMemory()
	if err != nil {
		return err
	}
	slices.Sort(delays)
	s.peak = append(s.peak, peak)
	s.p50 = append(s.p50, float64(delays[len(delays)/2]))
	s.p99 = append(s.p99, float64(delays[len(delays)*99/100]))
	return nil
}

// openStreams reads streams to their end, and returns the delays of the events
// that came while all of them were open. They begin one after the other, so that
// their events do not come together.
func openStreams(ctx context.Context, address string, streams int, length time.Duration) ([]time.Duration, error) {
	runtime.GC()
	body, pieces := chatBody(streamEnd), int(length/eventPause)
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: benchmarks\r\nAuthorization: Bearer sk-benchmarks\r\nContent-Type: application/json\r\n"+
		"%s: %d\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, headerPieces, pieces, headerPause, eventPause, len(body), body)
	delays, errs := make([][]time.Duration, streams), make([]error, streams)
	var all sync.WaitGroup
	start, begin := time.Now(), length/5
	for i := range streams {
		time.Sleep(time.Until(start.Add(begin * time.Duration(i) / time.Duration(streams))))
		all.Go(func() {
			delays[i], errs[i] = readStream(ctx, address, request, start.Add(begin), start.Add(length-eventPause))
		})
	}
	all.Wait()
	return slices.Concat(delays...), errors.Join(errs...)
}

// readStream opens one stream. It returns the delays of the events written
// between the two times.
func readStream(ctx context.Context, address string, request []byte, from, until time.Time) ([]time.Duration, error) {
	c, err := newConnection(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // all was read
	c.request = request
	response, err := c.send()
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	delays := make([]time.Duration, 0, 64)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		written, ok := writtenAt(lines.Bytes())
		if ok && written.After(from) && written.Before(until) {
			delays = append(delays, time.Since(written))
		}
	}
	return delays, lines.Err()
}

// writtenAt is the time with which the text of an event begins.
func writtenAt(line []byte) (time.Time, bool) {
	const digits = 19
	_, text, ok := bytes.Cut(line, []byte(`"content":"`))
	if !ok || len(text) < digits {
		return time.Time{}, false
	}
	nanoseconds, err := strconv.ParseInt(string(text[:digits]), 10, 64)
	return time.Unix(0, nanoseconds), err == nil
}

// grown is how much a proxy's memory grew when large bodies went through, in MiB.
type grown struct {
	name         string
	plain, asked float64 // a body for any service, and a question to an LLM API
}

// compareBodies sends each proxy bodies of so many bytes, and has it return as
// many.
func (p *proxies) compareBodies(ctx context.Context, size int64) (all []grown, err error) {
	for _, name := range p.present(nameReverse, nameSidecar, nameNginx) {
		g := grown{name: name}
		if g.plain, err = p.growth(ctx, name, largePath+"/file", size); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if g.asked, err = p.growth(ctx, name, largePath+chatPath, size); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, g)
	}
	return all, nil
}

// growth compares the most memory that a fresh proxy had with that before.
func (p *proxies) growth(ctx context.Context, name, path string, size int64) (_ float64, err error) {
	through, err := p.start(ctx, name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, through.stop()) }()
	const small = 1 << 10
	url := "http://" + through.addresses[0] + path
	if err := bothWays(ctx, url, small); err != nil {
		return 0, err
	}
	before, err := through.peakMemory()
	if err != nil {
		return 0, err
	}
	if err := bothWays(ctx, url, size); err != nil {
		return 0, err
	}
	after, err := through.peakMemory()
	return after - before, err
}

func bothWays(ctx context.Context, url string, size int64) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, questionOf(size))
	if err != nil {
		return err
	}
	request.ContentLength = size
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.Copy(io.Discard, response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || got != size) {
		err = fmt.Errorf("answered %s with %d of %d bytes", response.Status, got, size)
	}
	return err
}
