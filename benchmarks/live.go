package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages"
)

const (
	// livePerSecond is the rate of requests to each service with or without a
	// live page, liveRoutes how many routes they go to, and one request in
	// liveFailures fails.
	livePerSecond, liveRoutes, liveFailures = 1000, 20, 100
	// lookEvery is how often a browser asks the page.
	lookEvery = 2 * time.Second
	// liveVariable asks for the page.
	liveVariable = "OTELMON_BENCHMARKS_LIVE"
)

// serveLive is a service with many routes, and with a live page if that is asked
// for.
func serveLive() error {
	cfg := otelmon.Config{
		ServiceName: "benchmarks",
		Prometheus:  exporters.Prometheus{Address: "127.0.0.1:0"},
		Logger:      slog.New(slog.DiscardHandler),
	}
	if os.Getenv(liveVariable) != "" {
		zpages.Install(&cfg)
	}
	sdk, err := otelmon.Setup(context.Background(), cfg)
	if err != nil {
		return fmt.Errorf("setting otelmon up: %w", err)
	}
	mux := http.NewServeMux()
	for route := range liveRoutes {
		mux.HandleFunc(fmt.Sprintf("GET /items-%d/{id}", route), sell)
	}
	return serve(context.Background(), middleware.Handler(mux, middleware.Config{}), strings.TrimSuffix(sdk.MetricsURL(), "/metrics"))
}

func sell(w http.ResponseWriter, r *http.Request) {
	if id, err := strconv.Atoi(r.PathValue("id")); err != nil || id%liveFailures == 0 {
		http.Error(w, "no such item", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, answer) // fails only when the client is gone
}

// live is a service with or without a live page.
type live struct {
	name string
	page bool
	seen bool // a browser looks at the page
	// most is how much more of a core it may use than the first, in percent, and
	// mostMemory how many MiB more it may have; 0 is no target.
	most, mostMemory float64

	service *process
	memory  float64   // MiB, the most it had
	perTurn []float64 // nanoseconds of processor time of a request, by round
}

func lives() []*live {
	const most, mostMemory = 2, 16
	return []*live{
		{name: "without a page"},
		{name: "with a page, nobody looks", page: true, most: most, mostMemory: mostMemory},
		{name: "with a page, a browser looks", page: true, seen: true, most: most, mostMemory: mostMemory},
	}
}

// compareLives measures what a live page adds. The services take turns.
func compareLives(ctx context.Context, rounds int, length time.Duration) (all []*live, err error) {
	to, err := startCollector(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.stop()) }()
	all = lives()
	defer func() {
		for _, l := range all {
			if l.service != nil {
				err = errors.Join(err, l.service.stop())
			}
		}
	}()
	for _, l := range all {
		variables := []string{endpointVariable + "=http://" + to.grpc}
		if l.page {
			variables = append(variables, liveVariable+"=true")
		}
		if l.service, err = startProcess(ctx, roleLive, variables...); err != nil {
			return nil, err
		}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: livePerSecond}}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	failed := look(looking, client, all)
	for round := range rounds + 1 {
		if err := liveRound(ctx, client, all, length, round > 0); err != nil { // the first is to warm up
			return nil, err
		}
	}
	stop()
	if err := <-failed; err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.memory, err = l.service.peakMemory(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func liveRound(ctx context.Context, client *http.Client, all []*live, length time.Duration, counts bool) error {
	before := make([]time.Duration, len(all))
	for i, l := range all {
		var err error
		if before[i], err = l.service.processorTime(); err != nil {
			return err
		}
	}
	each, err := loadLives(ctx, client, all, length)
	if err != nil || !counts {
		return err
	}
	for i, l := range all {
		after, err := l.service.processorTime()
		if err != nil {
			return err
		}
		l.perTurn = append(l.perTurn, float64(after-before[i])/float64(each))
	}
	return nil
}

// loadLives sends each service as many requests as it returns, at a steady rate.
func loadLives(ctx context.Context, client *http.Client, all []*live, length time.Duration) (each int, err error) {
	each = max(1, int(length.Seconds()*livePerSecond))
	var requests sync.WaitGroup
	start, interval, sent := time.Now(), time.Second/time.Duration(livePerSecond*len(all)), 0
	for i := range each {
		path := fmt.Sprintf("/items-%d/%d", i%liveRoutes, i)
		for _, j := range rand.Perm(len(all)) {
			time.Sleep(time.Until(start.Add(time.Duration(sent) * interval)))
			sent++
			requests.Go(func() { _, _ = read(ctx, client, "http://"+all[j].service.addresses[0]+path) }) // some fail on purpose
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	requests.Wait()
	return each, nil
}

// look asks the pages that are looked at, as a browser does. It says how that
// went when ctx has ended.
func look(ctx context.Context, client *http.Client, all []*live) <-chan error {
	failed := make(chan error, 1)
	go func() {
		var errs error
		for due := time.NewTicker(lookEvery); ctx.Err() == nil; {
			for _, l := range all {
				if l.seen {
					_, err := read(context.WithoutCancel(ctx), client, l.service.addresses[1]+"/zpages/data")
					errs = errors.Join(errs, err)
				}
			}
			select {
			case <-due.C:
			case <-ctx.Done():
				due.Stop()
			}
		}
		failed <- errs
	}()
	return failed
}

const liveIntro = `
## What a live page costs

Three services, set up by %[1]sotelmon.Setup%[1]s and %[1]smiddleware.Handler%[1]s, run in processes of their own. Each gets %[2]d requests a
second to %[3]d routes, every one of which leaves a span, delivered to a Collector, and one in %[4]d of which fails. Two have
%[1]szpages.Install%[1]s; one of these is asked for its data every %[5]s. The services take turns at each request. There are %[6]d rounds of
%[7]s. *Processor* is the processor time of the service's process for one request, the connection included: the median of the
rounds. A ratio compares with the first line in the same round: the median of the rounds, and in parentheses the least and the
most. *Of a core* is the difference of the medians at that rate. *Memory* is the most resident memory that the process had.

| | processor, µs | × | more, %% of a core | memory, MiB | more, MiB |
| --- | --: | --: | --: | --: | --: |
`

func liveSection(all []*live, rounds int, length time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, liveIntro, "`", livePerSecond, liveRoutes, liveFailures, lookEvery, rounds, length)
	for _, l := range all {
		ratio, core, more := "-", "-", "-"
		if l.page {
			ratio = spread(l.perTurn, all[0].perTurn, 0)
			percent := (medianOf(l.perTurn) - medianOf(all[0].perTurn)) * livePerSecond / float64(time.Second) * 100
			core = against(fmt.Sprintf("%.1f", percent), percent, l.most)
			memory := l.memory - all[0].memory
			more = against(fmt.Sprintf("%.1f", memory), memory, l.mostMemory)
		}
		fmt.Fprintf(&b, "| %s | %.1f | %s | %s | %.1f | %s |\n", l.name, medianOf(l.perTurn)/1e3, ratio, core, l.memory, more)
	}
	return b.String()
}
