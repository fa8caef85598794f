package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// report prints what the metrics say by now, a column for each model.
func report(ctx context.Context, reader *sdkmetric.ManualReader, w io.Writer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	r, err := collect(ctx, reader)
	if err != nil {
		return err
	}
	models := r.sums("otelmon.llm.attempts", "gen_ai.request.model")
	delete(models, "") // calls that ended before they were sent
	names := slices.Sorted(maps.Keys(models))
	if len(names) == 0 {
		say(w, "No call has ended.\n")
		return nil
	}
	columns := make([]column, len(names))
	say(w, "\n%-24s", "")
	for i, name := range names {
		columns[i] = column{r, attribute.String("gen_ai.request.model", name)}
		say(w, "%17s", name)
	}
	say(w, "\n")
	for _, row := range rows(r) {
		printRow(w, row, columns)
	}
	return nil
}

// printRow leaves out a row with nothing in it.
func printRow(w io.Writer, row row, columns []column) {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = row.cell(c)
	}
	if strings.Trim(strings.Join(cells, ""), "-") == "" {
		return
	}
	say(w, "%-24s", row.name)
	for _, cell := range cells {
		say(w, "%17s", cell)
	}
	say(w, "\n")
}

// row is one figure, of each model.
type row struct {
	name string
	cell func(column) string
}

// rows are those of the table. The outcomes are those that there were.
func rows(r readings) []row {
	table := []row{
		{"operations", count("otelmon.llm.attempts", attribute.String("otelmon.llm.attempt", "first"))},
		{"  succeeded", column.success},
		{"attempts", count("otelmon.llm.attempts")},
	}
	for _, outcome := range slices.Sorted(maps.Keys(r.sums("otelmon.llm.attempts", "otelmon.llm.outcome"))) {
		name := "  " + strings.ReplaceAll(outcome, "_", " ")
		table = append(table, row{name, count("otelmon.llm.attempts", attribute.String("otelmon.llm.outcome", outcome))})
	}
	table = append(table,
		row{"duration P50", seconds(0.50, "gen_ai.client.operation.duration")},
		row{"         P99", seconds(0.99, "gen_ai.client.operation.duration")},
		row{"in the queue P99", seconds(0.99, "otelmon.llm.queue.duration")},
		row{"first token P50", seconds(0.50, "otelmon.llm.time_to_first_token")},
		row{"            P99", seconds(0.99, "otelmon.llm.time_to_first_token")},
		row{"first answer token P50", seconds(0.50, "otelmon.llm.time_to_first_answer_token")},
		row{"                   P99", seconds(0.99, "otelmon.llm.time_to_first_answer_token")},
	)
	for _, class := range []string{"input_uncached", "input_cached", "input_cache_write", "output_answer", "output_reasoning", "output_unsplit"} {
		name := "tokens " + strings.ReplaceAll(class, "_", " ")
		table = append(table, row{name, count("otelmon.llm.tokens", attribute.String("otelmon.llm.token.class", class))})
	}
	return append(table,
		row{"cache hits", column.cacheHits},
		row{"cost", money("otelmon.llm.cost")},
		row{"wasted tokens", count("otelmon.llm.wasted.tokens")},
		row{"wasted cost", money("otelmon.llm.wasted.cost")},
		row{"usage missing", count("otelmon.llm.usage_missing")},
		row{"price unknown", count("otelmon.llm.price_unknown")},
	)
}

// column is one model.
type column struct {
	readings

	model attribute.KeyValue
}

const none = "-"

func count(metric string, having ...attribute.KeyValue) func(column) string {
	return func(c column) string {
		n := c.sum(metric, append(having, c.model)...)
		if n == 0 {
			return none
		}
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
}

func seconds(q float64, metric string) func(column) string {
	return func(c column) string {
		value := c.quantile(q, metric, c.model)
		if math.IsNaN(value) {
			return none
		}
		return fmt.Sprintf("%.3f s", value)
	}
}

func money(metric string) func(column) string {
	return func(c column) string {
		var amounts []string
		spent := c.sums(metric, "otelmon.llm.cost.currency", c.model)
		for _, currency := range slices.Sorted(maps.Keys(spent)) {
			amounts = append(amounts, fmt.Sprintf("%.5f %s", spent[currency], currency))
		}
		if len(amounts) == 0 {
			return none
		}
		return strings.Join(amounts, ", ")
	}
}

// success is the share of operations of which an attempt succeeded.
func (c column) success() string {
	return percent(
		c.sum("otelmon.llm.attempts", c.model, attribute.String("otelmon.llm.outcome", "ok")),
		c.sum("otelmon.llm.attempts", c.model, attribute.String("otelmon.llm.attempt", "first")))
}

func (c column) cacheHits() string {
	read := c.sum("otelmon.llm.tokens", c.model, attribute.String("otelmon.llm.token.class", "input_cached"))
	other := c.sum("otelmon.llm.tokens", c.model, attribute.String("otelmon.llm.token.class", "input_uncached")) +
		c.sum("otelmon.llm.tokens", c.model, attribute.String("otelmon.llm.token.class", "input_cache_write"))
	return percent(read, read+other)
}

func percent(part, whole float64) string {
	if whole == 0 {
		return none
	}
	return fmt.Sprintf("%.1f %%", 100*part/whole)
}
