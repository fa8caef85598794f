// Command benchmarks measures what the toolkit and its peers add to an HTTP
// request, side by side, and writes one table. Its tests show what plain
// otelhttp gets wrong and the toolkit right.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	rounds := flag.Int("rounds", 10, "how often each contender is measured in each case, at least 1")
	requests := flag.Int("requests", 20_000, "how many requests make one measurement, at least 16")
	file := flag.String("page", "", "a `file` to write the table to, too")
	flag.Parse()
	if *rounds < 1 || *requests < 16 {
		return fmt.Errorf("-rounds %d -requests %d: too few", *rounds, *requests)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	results, err := compare(ctx, *rounds, *requests)
	if err != nil {
		return err
	}
	text := page(results, *rounds, *requests)
	fmt.Print(text)
	if *file == "" {
		return nil
	}
	return os.WriteFile(*file, []byte(text), 0o644)
}
