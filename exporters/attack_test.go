package exporters_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/exporters"
)

// bigPage has this many histograms of 22 lines each.
const bigPage = 1900

// recordMany fills a page with histograms.
func recordMany(tb testing.TB, provider metric.MeterProvider, count int) {
	tb.Helper()
	histogram, err := provider.Meter("shop").Float64Histogram("duration", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19))
	if err != nil {
		tb.Fatal(err)
	}
	for i := range count {
		histogram.Record(context.Background(), 5, metric.WithAttributes(attribute.String("route", fmt.Sprintf("/a/route/of/the/shop/%d", i))))
	}
}

// attack is a crowd of clients that go on until stop.
type attack struct {
	address string
	running sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
}

func startAttack(address string) *attack {
	ctx, cancel := context.WithCancel(context.Background())
	return &attack{address: address, ctx: ctx, stop: func() { cancel() }}
}

func (a *attack) end() {
	a.stop()
	a.running.Wait()
}

// crowd runs clients that open connections one after another and do the same
// with each.
func (a *attack) crowd(size int, do func(net.Conn)) {
	for range size {
		a.running.Go(func() {
			for a.ctx.Err() == nil {
				conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(a.ctx, "tcp", a.address)
				if err != nil {
					continue
				}
				hangUp := context.AfterFunc(a.ctx, func() { _ = conn.Close() })
				do(conn)
				hangUp()
				_ = conn.Close()
			}
		})
	}
}

const plainRequest = "GET /metrics HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"

// scrapes reads whole pages.
func scrapes(request string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.WriteString(conn, request); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	}
}

// slowly writes what it is given at once and then a byte a second, while it
// reads a byte a second, until the server hangs up.
func (a *attack) slowly(request, then string) func(net.Conn) {
	return func(conn net.Conn) {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			return
		}
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for b := make([]byte, 1); ; {
			select {
			case <-second.C:
			case <-a.ctx.Done():
				return
			}
			if then != "" {
				if _, err := io.WriteString(conn, then[:1]); err != nil {
					return
				}
				_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			}
			if _, err := conn.Read(b); err != nil && !isTimeout(err) {
				return
			}
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func liveHeap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// attackers says whom TestAttackers attacks, and with how many of each kind.
const attackers = "EXPORTERS_TEST_ATTACK"

// TestAttackers is no test but the other end of BenchmarkScrapeUnderAttack, in
// a process of its own, until its input ends.
func TestAttackers(t *testing.T) {
	var scrapers, readers, headers int
	var address string
	if _, err := fmt.Sscan(os.Getenv(attackers), &address, &scrapers, &readers, &headers); err != nil {
		t.Skip("there is nobody to attack")
	}
	a := startAttack(address)
	a.crowd(scrapers, scrapes(plainRequest))
	a.crowd(readers, a.slowly(plainRequest, ""))
	a.crowd(headers, a.slowly("GET /metrics HTTP/1.1\r\nHost: shop\r\nX: ", "x"))
	_, _ = io.Copy(io.Discard, os.Stdin)
	a.end()
}

// BenchmarkScrapeUnderAttack measures scrapes of a page of 1,900 histograms in
// between those of attackers, each on a connection of its own. Run it with
// -benchtime=200x, say.
func BenchmarkScrapeUnderAttack(b *testing.B) {
	for name, crowd := range map[string]string{
		"nobody":                                "0 0 0",
		"200 scrapers":                          "200 0 0",
		"200 slow readers":                      "0 200 0",
		"200 slow headers":                      "0 0 200",
		"200 scrapers and 50 slow of each kind": "200 50 50",
		"200 of each":                           "200 200 200",
	} {
		b.Run(name, func(b *testing.B) {
			server, err := exporters.Prometheus{Address: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}.Start(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(server.Reader))
			defer func() {
				_ = server.Shutdown(context.Background())
				_ = provider.Shutdown(context.Background())
			}()
			recordMany(b, provider, bigPage)
			before := liveHeap()
			defer attackFromOutside(b, "127.0.0.1:"+portIn(server.URL())+" "+crowd)()
			<-time.After(3 * time.Second)
			measure(b, server.URL(), before)
		})
	}
}

func attackFromOutside(b *testing.B, plan string) (end func()) {
	b.Helper()
	command := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestAttackers$")
	command.Env = append(os.Environ(), attackers+"="+plan)
	command.Stdout = os.Stderr
	input, err := command.StdinPipe()
	if err := errors.Join(err, command.Start()); err != nil {
		b.Fatal(err)
	}
	return func() { _ = errors.Join(input.Close(), command.Wait()) }
}

func portIn(url string) string {
	_, port, _ := net.SplitHostPort(url[len("http://") : len(url)-len("/metrics")])
	return port
}

func measure(b *testing.B, url string, before uint64) {
	b.Helper()
	var took []time.Duration
	var peak uint64
	failed := 0
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	for b.Loop() {
		began := time.Now()
		response, err := client.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		if err != nil || response.StatusCode != http.StatusOK {
			failed++
		}
		took = append(took, time.Since(began))
		if len(took)%10 == 0 {
			peak = max(peak, liveHeap())
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "worst-ms")
	b.ReportMetric(float64(failed), "failed")
	b.ReportMetric(float64(int64(peak)-int64(before))/(1<<20), "heap-MiB")
}
