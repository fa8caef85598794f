package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// perSecond is the rate of requests to each service. Together they leave the
	// processors idle for most of the time.
	perSecond = 500
	// nobody is an address where no program listens.
	nobody = "127.0.0.1:1"
)

// outage is what has become of a service's Collector.
type outage struct {
	name string
	// target is the most that P99 may be of the first outage's, which is none;
	// 0 is no target.
	target float64

	service *process
	took    []time.Duration // of the round, by request
	errs    []error
	// p50 and p99 are nanoseconds, by round.
	p50, p99         []float64
	requests, failed int
}

// startOutages starts a service for each.
func startOutages(ctx context.Context, to *collector) ([]*outage, error) {
	const most = 1.25
	none, again := &outage{name: "answers"}, &outage{name: "answers, another service"}
	refused, hangs := &outage{name: "refuses connections", target: most}, &outage{name: "takes requests and never answers", target: most}
	outages := []*outage{none, again, refused, hangs}
	addresses := map[*outage]string{none: to.grpc, again: to.grpc, refused: nobody, hangs: to.hanging}
	for _, o := range outages {
		variables := []string{endpointVariable + "=http://" + addresses[o]}
		if addresses[o] != to.grpc {
			variables = append(variables, awayVariable+"=true")
		}
		var err error
		if o.service, err = startProcess(ctx, roleService, variables...); err != nil {
			return outages, err
		}
	}
	return outages, nil
}

// compareOutages measures how long requests take. The services take turns, and
// each of them is the first as often as the others.
func compareOutages(ctx context.Context, rounds int, length time.Duration) (outages []*outage, err error) {
	to, err := startCollector(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.stop()) }()
	outages, err = startOutages(ctx, to)
	defer func() {
		for _, o := range outages {
			if o.service != nil {
				err = errors.Join(err, o.service.stop())
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: perSecond}}
	for round := range rounds + 1 {
		if err := load(ctx, client, outages, length); err != nil {
			return nil, err
		}
		for _, o := range outages {
			o.endRound(round > 0) // the first is to warm up
		}
	}
	return outages, nil
}

// load sends each service requests at a steady rate, whether others are answered
// or not. The services take turns at each request, in an order that changes, so
// that what disturbs the machine disturbs all of them.
func load(ctx context.Context, client *http.Client, outages []*outage, length time.Duration) error {
	runtime.GC()
	each := max(1, int(length.Seconds()*perSecond))
	for _, o := range outages {
		o.took, o.errs = make([]time.Duration, each), make([]error, each)
	}
	var requests sync.WaitGroup
	start, interval, sent := time.Now(), time.Second/time.Duration(perSecond*len(outages)), 0
	for i := range each {
		for _, j := range rand.Perm(len(outages)) {
			time.Sleep(time.Until(start.Add(time.Duration(sent) * interval)))
			sent++
			requests.Go(func() { outages[j].request(ctx, client, i) })
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	requests.Wait()
	return nil
}

func (o *outage) request(ctx context.Context, client *http.Client, i int) {
	start := time.Now()
	o.errs[i] = get(ctx, client, "http://"+o.service.addresses[0]+"/items/42")
	o.took[i] = time.Since(start)
}

// endRound turns the requests of the round into a number of each kind.
func (o *outage) endRound(counts bool) {
	slices.Sort(o.took)
	if counts {
		o.p50 = append(o.p50, float64(o.took[len(o.took)/2]))
		o.p99 = append(o.p99, float64(o.took[len(o.took)*99/100]))
	}
	o.requests += len(o.took)
	for _, err := range o.errs {
		if err != nil {
			o.failed++
		}
	}
}

// get wants the answer of the service.
func get(ctx context.Context, client *http.Client, url string) error {
	body, err := read(ctx, client, url)
	if err == nil && body != answer {
		err = fmt.Errorf("%s answered: %s", url, body)
	}
	return err
}

// read returns an answer; one that is no success is an error.
func read(ctx context.Context, client *http.Client, url string) (body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", url, response.Status, content)
	}
	return string(content), err
}

const outageIntro = `
## What a request feels of an outage

Four services, set up by %[1]sotelmon.Setup%[1]s and %[1]smiddleware.Handler%[1]s, run in processes of their own; each request leaves a span, a log
record and metrics. They differ in what their Collector does. Two have one that answers: how these two differ is noise. Where
nothing is delivered, the queue of spans is full from the beginning, as it is some minutes into an outage, and each new span
drops the oldest.

Each service gets %[2]d requests a second over connections that stay open, whether others are answered or not. The services take
turns at each request, so that what disturbs the machine disturbs all of them; client, services and Collector share its cores.
There are %[3]d rounds of %[4]s. A time is that from sending a request to having read its answer: the median of the rounds. A ratio
compares with the first line in the same round: the median of the rounds, and in parentheses the least and the most.

| The Collector | P50, µs | × | P99, µs | × | failed requests |
| --- | --: | --: | --: | --: | --: |
`

func outageSection(outages []*outage, rounds int, length time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, outageIntro, "`", perSecond, rounds, length)
	for _, o := range outages {
		b.WriteString(o.line(outages[0]))
	}
	return b.String()
}

func (o *outage) line(none *outage) string {
	p50, p99 := "-", "-"
	if o != none {
		p50 = spread(o.p50, none.p50, 0)
		p99 = spread(o.p99, none.p99, o.target)
	}
	failed := fmt.Sprintf("%d of %d", o.failed, o.requests)
	if o.failed > 0 {
		failed = "**" + failed + "**"
	}
	return fmt.Sprintf("| %s | %.0f | %s | %.0f | %s | %s, target 0 |\n",
		o.name, medianOf(o.p50)/1e3, p50, medianOf(o.p99)/1e3, p99, failed)
}

// spread compares numbers of the same rounds. At most target is wanted.
func spread(of, to []float64, target float64) string {
	text, median := ratios(of, to)
	return against(text, median, target)
}

// ratios returns the median, too.
func ratios(of, to []float64) (text string, median float64) {
	all := make([]float64, len(of))
	for i := range all {
		all[i] = of[i] / to[i]
	}
	median = medianOf(all)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median, slices.Min(all), slices.Max(all)), median
}
