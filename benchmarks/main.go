// Command benchmarks measures the toolkit and its peers side by side: what they
// add to an HTTP request, what it costs to export, how long requests take while
// the Collector is away, and what LLM APIs, proxies and the live page cost. It writes one page. Its tests show what plain
// otelhttp gets wrong and the toolkit right.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	played, err := playRole()
	if !played {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Names of the sections.
const (
	sectionRequests = "requests"
	sectionExport   = "export"
	sectionOutage   = "outage"
	sectionSidecar  = "sidecar"
	sectionReading  = "reading"
	sectionLive     = "live"
)

func run() error {
	all := strings.Join([]string{sectionRequests, sectionExport, sectionOutage, sectionSidecar, sectionReading, sectionLive}, ",")
	rounds := flag.Int("rounds", 10, "how often each contender is measured in each case, at least 1")
	requests := flag.Int("requests", 20_000, "how many requests, spans or log records make one measurement, at least 16")
	length := flag.Duration("length", 5*time.Second, "how `long` a round of requests to real servers is")
	sections := flag.String("sections", all, "which `sections` to measure")
	file := flag.String("page", "", "a `file` to write the page to, too; for all sections")
	flag.Parse()
	if *rounds < 1 || *requests < 16 || *length <= 0 {
		return fmt.Errorf("-rounds %d -requests %d -length %s: too few", *rounds, *requests, *length)
	}
	if *file != "" && *sections != all {
		return fmt.Errorf("-sections %s -page %s: the page has all sections", *sections, *file)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var page strings.Builder
	page.WriteString(pageIntro())
	for name := range strings.SplitSeq(*sections, ",") {
		section, err := measureSection(ctx, name, *rounds, *requests, *length)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", name, err)
		}
		page.WriteString(section)
	}
	fmt.Print(page.String())
	if *file == "" {
		return nil
	}
	return os.WriteFile(*file, []byte(page.String()), 0o644)
}

// measureSection returns a section of the page.
func measureSection(ctx context.Context, name string, rounds, requests int, length time.Duration) (string, error) {
	switch name {
	case sectionRequests:
		results, err := compare(ctx, rounds, requests)
		return requestSection(results, rounds, requests), err
	case sectionExport:
		results, err := compareExports(ctx, rounds, requests)
		return exportSection(results, rounds, requests), err
	case sectionOutage:
		results, err := compareOutages(ctx, rounds, length)
		return outageSection(results, rounds, length), err
	case sectionSidecar:
		results, err := compareSidecars(ctx, sizesOf(rounds, length))
		if err != nil {
			return "", err
		}
		return sidecarSection(results), nil
	case sectionReading:
		const perRound, streams = 4, 2 * readers
		results, err := compareReading(ctx, perRound*rounds, streams)
		return readingSection(results, perRound*rounds, streams), err
	case sectionLive:
		results, err := compareLives(ctx, rounds, 2*length)
		return liveSection(results, rounds, 2*length), err
	}
	return "", fmt.Errorf("there is no section %q", name)
}
