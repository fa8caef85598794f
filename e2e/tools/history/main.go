// History writes the folder of a Prometheus that has watched many services for
// days: their raw series for the last hour and the next quarter of one, and what
// rules have recorded from them, those of services and SLOs for all days, others for
// one. Rules and queries are measured on it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	recent = 70 * time.Minute // in the head; what is older is in blocks
	ahead  = 15 * time.Minute // raw samples beyond now, so that rules have input while they are measured
	slice  = 20 * time.Minute
	block  = 12 * time.Hour
)

func main() {
	out := flag.String("out", "", "`folder` to write; must not exist")
	size := fleet{}
	flag.IntVar(&size.services, "services", 50, "services")
	flag.IntVar(&size.routes, "routes", 20, "routes of each service")
	flag.Func("latency", "`boundaries` of histograms of seconds, separated by commas", boundaries(&size.latency))
	flag.Func("llm", "`boundaries` of histograms of the seconds of LLM APIs", boundaries(&size.llm))
	flag.Func("size", "`boundaries` of histograms of bytes", boundaries(&size.size))
	days := flag.Int("days", 30, "days of recorded history")
	flag.Parse()
	if err := write(context.Background(), *out, size, *days, time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
		os.Exit(1)
	}
}

// boundaries reads those of a histogram, and adds the last bucket.
func boundaries(to *[]float64) func(string) error {
	return func(text string) error {
		for field := range strings.SplitSeq(text, ",") {
			b, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return err
			}
			*to = append(*to, b)
		}
		*to = append(*to, math.Inf(1))
		return nil
	}
}

func write(ctx context.Context, out string, size fleet, days int, now time.Time) error {
	if len(size.latency) == 0 || len(size.llm) == 0 || len(size.size) == 0 {
		return errors.New("the boundaries of a histogram are missing")
	}
	if err := os.Mkdir(out, 0o750); err != nil {
		return err
	}
	recorded := size.recorded()
	old := slices.Concat(recorded, size.rawDay())
	head := now.Add(-recent)
	for from := now.AddDate(0, 0, -days); from.Before(head); {
		// Blocks end at multiples of their size, as Prometheus expects.
		to := from.Truncate(block).Add(block)
		to = earlier(to, head)
		if err := writeBlock(ctx, out, old, from, to, now); err != nil {
			return fmt.Errorf("block from %s: %w", from, err)
		}
		from = to
	}
	return writeHead(ctx, out, size, recorded, head, now)
}

func writeBlock(ctx context.Context, out string, all []series, from, to, now time.Time) (err error) {
	w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), out, 2*block.Milliseconds())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := appendAll(ctx, w, all, from, to, now); err != nil {
		return err
	}
	_, err = w.Flush(ctx)
	return err
}

func writeHead(ctx context.Context, out string, size fleet, recorded []series, from, now time.Time) (err error) {
	db, err := tsdb.Open(out, slog.New(slog.DiscardHandler), nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.DisableCompactions()
	raw := size.raw()
	// In slices, since a head takes nothing that is an hour older than its newest
	// sample.
	for ; from.Before(now.Add(ahead)); from = from.Add(slice) {
		if err := appendAll(ctx, db, recorded, from, earlier(from.Add(slice), now), now); err != nil {
			return err
		}
		if err := appendAll(ctx, db, raw, from, from.Add(slice), now); err != nil {
			return err
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

type appendable interface {
	Appender(context.Context) storage.Appender
}

// appendAll appends all series that reach back into a stretch of time.
func appendAll(ctx context.Context, db appendable, all []series, from, to, now time.Time) error {
	app := db.Appender(ctx)
	pending := 0
	for _, s := range all {
		begin := from
		if s.age > 0 && now.Add(-s.age).After(begin) {
			begin = now.Add(-s.age)
		}
		var ref storage.SeriesRef
		for t := begin.Truncate(s.interval).Add(s.interval); !t.After(to); t = t.Add(s.interval) {
			var err error
			if ref, err = app.Append(ref, s.labels, t.UnixMilli(), s.value(t)); err != nil {
				return errors.Join(fmt.Errorf("append %s: %w", s.labels, err), app.Rollback())
			}
			pending++
		}
		if pending > 1_000_000 {
			if err := app.Commit(); err != nil {
				return err
			}
			app, pending = db.Appender(ctx), 0
		}
	}
	return app.Commit()
}
