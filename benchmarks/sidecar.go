package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"
)

// sidecarConnections is how many clients a proxy has at a time.
const sidecarConnections = 16

// sidecarCase is a kind of request that all proxies pass on.
type sidecarCase struct {
	name string
	// request is one as it goes over the wire.
	request string
}

func sidecarCases() []sidecarCase {
	question := chatBody(chatEnd)
	return []sidecarCase{
		{"GET", "GET " + itemPath + " HTTP/1.1\r\nHost: benchmarks\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"},
		{"chat completion", fmt.Sprintf("POST %s HTTP/1.1\r\nHost: benchmarks\r\nUser-Agent: OpenAI/Go 3.0.0\r\nAccept: application/json\r\n"+
			"Authorization: Bearer sk-benchmarks\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", chatPath, len(question), question)},
	}
}

// loaded is a proxy in a case, with a number of each kind by round.
type loaded struct {
	name        string
	process     *process
	connections []*connection
	requests    int
	perSecond   []float64
	// p50, p99 and cpu are nanoseconds; the last is processor time of the proxy.
	p50, p99, cpu []float64
}

// sidecarResult is a case with its proxies. The first one is what the others are
// compared with.
type sidecarResult struct {
	sidecarCase
	proxies []*loaded
}

// compareRequests has the proxies take turns, in an order that changes.
func (p *proxies) compareRequests(ctx context.Context, rounds int, length time.Duration) (results []sidecarResult, err error) {
	running := map[string]*process{}
	defer func() {
		for _, started := range running {
			err = errors.Join(err, started.stop())
		}
	}()
	names := p.present(nameReverse, nameReverseAgain, nameSidecar, nameSidecarAll, nameNginx)
	for _, name := range names {
		if running[name], err = p.start(ctx, name); err != nil {
			delete(running, name)
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, c := range sidecarCases() {
		r := sidecarResult{sidecarCase: c}
		for _, name := range names {
			r.proxies = append(r.proxies, &loaded{name: name, process: running[name]})
		}
		if err := r.measure(ctx, rounds, length); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

func (r sidecarResult) measure(ctx context.Context, rounds int, length time.Duration) (err error) {
	for _, l := range r.proxies {
		defer func() { err = errors.Join(err, l.disconnect()) }()
		if err := l.connect(ctx, r.request); err != nil {
			return err
		}
	}
	for round := range rounds + 1 {
		for _, i := range rand.Perm(len(r.proxies)) {
			counts := round > 0 // the first is to warm up
			if err := r.proxies[i].turn(ctx, length, counts); err != nil {
				return fmt.Errorf("%s: %w", r.proxies[i].name, err)
			}
		}
	}
	return nil
}

func (l *loaded) connect(ctx context.Context, request string) error {
	for range sidecarConnections {
		c, err := newConnection(ctx, l.process.addresses[0])
		if err != nil {
			return err
		}
		c.request = []byte(request)
		l.connections = append(l.connections, c)
	}
	return nil
}

func (l *loaded) disconnect() (err error) {
	for _, c := range l.connections {
		err = errors.Join(err, c.Close())
	}
	return err
}

// turn sends requests over all connections, each after the answer to the one
// before.
func (l *loaded) turn(ctx context.Context, length time.Duration, counts bool) error {
	runtime.GC()
	before, err := l.process.processorTime()
	if err != nil {
		return err
	}
	took, errs := make([][]time.Duration, len(l.connections)), make([]error, len(l.connections))
	var all sync.WaitGroup
	start := time.Now()
	for i, c := range l.connections {
		all.Go(func() { took[i], errs[i] = c.repeat(ctx, start.Add(length)) })
	}
	all.Wait()
	elapsed := time.Since(start)
	after, err := l.process.settled(ctx)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
	l.requests += len(sorted)
	if counts {
		requests := float64(len(sorted))
		l.perSecond = append(l.perSecond, requests/elapsed.Seconds())
		l.p50 = append(l.p50, float64(sorted[len(sorted)/2]))
		l.p99 = append(l.p99, float64(sorted[len(sorted)*99/100]))
		l.cpu = append(l.cpu, float64(after-before)/requests)
	}
	return nil
}

// settled waits until the process does next to nothing any more, such as to
// export, and returns its processor time.
func (p *process) settled(ctx context.Context) (time.Duration, error) {
	const pause, idle = 20 * time.Millisecond, time.Millisecond
	used, err := p.processorTime()
	for range 100 {
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pause):
		}
		before := used
		if used, err = p.processorTime(); used-before < idle {
			break
		}
	}
	return used, err
}

// connection is a client that does as little as it can.
type connection struct {
	net.Conn
	reader  *bufio.Reader
	request []byte
}

func newConnection(ctx context.Context, address string) (*connection, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &connection{Conn: conn, reader: bufio.NewReader(conn)}, nil
}

// send returns the response unread.
func (c *connection) send() (*http.Response, error) {
	if _, err := c.Write(c.request); err != nil {
		return nil, fmt.Errorf("sending the request: %w", err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the response: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("answered %s", response.Status), response.Body.Close())
	}
	return response, nil
}

// repeat sends the request until the time is over, and returns how long each
// took.
func (c *connection) repeat(ctx context.Context, until time.Time) (took []time.Duration, err error) {
	took = make([]time.Duration, 0, 1024)
	for start := time.Now(); start.Before(until); {
		if err := c.exchange(); err != nil {
			return nil, err
		}
		now := time.Now()
		took = append(took, now.Sub(start))
		start = now
	}
	return took, ctx.Err()
}

func (c *connection) exchange() error {
	response, err := c.send()
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
