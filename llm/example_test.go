package llm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/llm/price"
)

// An http.Client is all that it takes: with otelmon.Setup before, the Config is
// llm.Config{}.
func ExampleTransport() {
	api := httptest.NewServer(fakellm.New(nil)) // instead of https://api.deepseek.com
	defer api.Close()
	reader := sdkmetric.NewManualReader()

	client := &http.Client{Transport: llm.Transport(nil, llm.Config{
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})}
	defer client.CloseIdleConnections()

	response, err := client.Post(api.URL+"/chat/completions", "application/json",
		strings.NewReader(`{"model":"deepseek-flash","messages":[{"role":"user","content":"Hello"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // the call is recorded at the end of its answer

	printCounter(reader, "otelmon.llm.attempts", "otelmon.llm.outcome")
	printCounter(reader, "otelmon.llm.tokens", "otelmon.llm.token.class")
	// Output:
	// otelmon.llm.attempts ok 1
	// otelmon.llm.tokens input_uncached 11
	// otelmon.llm.tokens output_answer 9
}

// Models of one's own machines have neither a well-known host nor a price: a
// file says what their tokens cost, before the embedded prices.
func ExampleTransport_prices() {
	api := httptest.NewServer(fakellm.New(nil))
	defer api.Close()
	reader := sdkmetric.NewManualReader()

	own, err := price.Parse([]byte(`
models:
  - provider: our-machines
    name: qwen
    currency: EUR
    prices:
      - {from: 2026-01-01, input: 1000, output: 2000}
`)) // price.ReadFile for a file
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: llm.Transport(nil, llm.Config{
		MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		Providers:     map[string]string{"127.0.0.1": "our-machines"},
		Prices:        own.Over(price.Default()),
	})}
	defer client.CloseIdleConnections()

	response, err := client.Post(api.URL+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"qwen","messages":[{"role":"user","content":"Hello"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)

	printCounter(reader, "otelmon.llm.cost", "otelmon.llm.token.class", "otelmon.llm.cost.currency", "otelmon.llm.price.source")
	// Output:
	// otelmon.llm.cost input_uncached EUR file 0.011
	// otelmon.llm.cost output_answer EUR file 0.018
}

// printCounter prints each series of a counter, with some of its attributes.
func printCounter(reader *sdkmetric.ManualReader, name string, attributes ...attribute.Key) {
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		fmt.Println(err)
	}
	var lines []string
	add := func(set attribute.Set, value any) {
		lines = append(lines, fmt.Sprint(name, " ", strings.ReplaceAll(keyOf(set, attributes), ",", " "), " ", value))
	}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			}
		}
	}
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"))
}
