package metrics

import (
	"encoding/json"
	"math"
)

// Number is a float64 that is null in JSON where there is none: NaN or infinite.
type Number float64

// MarshalJSON returns the number or null.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return json.Marshal(f)
	}
	return []byte("null"), nil
}

// View is what the page shows of metrics, ready for JSON: no slice and no map is
// nil. It belongs to the caller, except that its parts are not to be changed.
type View struct {
	// Seq is the number of the last point. Points are numbered one by one, from a
	// first one that differs from start to start of the process.
	Seq int64 `json:"seq"`
	// Points are those after Query.Since, or all. They are all when Seq less
	// their number is not Query.Since.
	Points Points `json:"points"`
	// Window is the time that rows and errors are about, in seconds.
	Window float64 `json:"window"`
	Total  Row     `json:"total"`
	// Routes are those that have a place, by requests and then by key.
	Routes []Row `json:"routes"`
	// Others is how many routes with requests in the last 15 minutes have no
	// place. Theirs is the row with Row.Others, which comes last.
	Others int `json:"others"`
	// RoutePoints are those of Query.Route, nil when it has no place.
	RoutePoints *RoutePoints `json:"route_points"`
	Heatmap     Heatmap      `json:"heatmap"`
	// Errors are those of the window, most first, at most 50.
	Errors []ErrorCount `json:"errors"`
	// LLM has the models, by operations and then by name.
	LLM         []Model     `json:"llm"`
	Sampling    Sampling    `json:"sampling"`
	Cardinality Cardinality `json:"cardinality"`
	Telemetry   Telemetry   `json:"telemetry"`
	// Runtime has what go.* and process.* say, by name.
	Runtime []Reading `json:"runtime"`
}

// Points are columns, oldest first. A rate is that since the point before, the
// percentiles are those of the last minute.
type Points struct {
	Age        []Number `json:"age"`    // seconds
	Rate       []Number `json:"rate"`   // requests a second
	Errors     []Number `json:"errors"` // share of requests, 0 to 1
	P50        []Number `json:"p50"`    // seconds
	P95        []Number `json:"p95"`
	P99        []Number `json:"p99"`
	InFlight   []Number `json:"in_flight"`
	LLMRate    []Number `json:"llm_rate"` // operations a second
	CPU        []Number `json:"cpu"`      // share of one core
	Memory     []Number `json:"memory"`   // bytes
	Goroutines []Number `json:"goroutines"`
	Queued     []Number `json:"queued"` // spans and log records that wait to be sent
}

// Row is a route, or all of them, over the window.
type Row struct {
	Key      string `json:"key"`
	Method   string `json:"method"`
	Route    string `json:"route"`
	Requests uint64 `json:"requests"` // streams included
	Rate     Number `json:"rate"`     // requests a second
	Errors   uint64 `json:"errors"`
	Share    Number `json:"share"` // of errors
	P50      Number `json:"p50"`   // seconds, without streams
	P95      Number `json:"p95"`
	P99      Number `json:"p99"`
	InFlight Number `json:"in_flight"` // of a route: none unless its requests are sampled
	Streams  uint64 `json:"streams"`
	Sampled  Number `json:"sampled"` // share of requests
	Rescued  uint64 `json:"rescued"`
	Others   bool   `json:"others"`
	// Approximate tells, in the total only, that percentiles are not exactly those
	// of the scrape, for all routes: a histogram has other boundaries than the
	// first one had, more than 64, or none of its own as exponential ones.
	Approximate bool `json:"approximate,omitempty"`
}

// RoutePoints are the columns of one route, oldest first, with a point for each
// slot of 10 s. Age is that of the last collection in the slot.
type RoutePoints struct {
	Key    string   `json:"key"`
	Age    []Number `json:"age"`
	Rate   []Number `json:"rate"`
	Errors []Number `json:"errors"`
	P50    []Number `json:"p50"`
	P95    []Number `json:"p95"`
	P99    []Number `json:"p99"`
}

// Heatmap has a column for each slot, oldest first, with the requests, streams
// left out, of each bucket. Age is that of the slot's beginning.
type Heatmap struct {
	Bounds []float64  `json:"bounds"` // seconds
	Age    []Number   `json:"age"`
	Every  float64    `json:"every"` // width of a column in seconds
	Counts [][]uint64 `json:"counts"`
}

// ErrorCount is how often a route failed in one way.
type ErrorCount struct {
	Type   string `json:"type"`
	Route  string `json:"route"` // the key of a Row
	Count  uint64 `json:"count"`
	Status Number `json:"status"`
}

// Model is what was asked of one model of an LLM API since the start.
type Model struct {
	Model        string            `json:"model"`
	Provider     string            `json:"provider"`
	Operations   Number            `json:"operations"` // first attempts
	Errors       Number            `json:"errors"`     // operations without a success so far
	Rate         Number            `json:"rate"`       // operations a second, over the window
	P50          Number            `json:"p50"`        // of attempts, in seconds
	P99          Number            `json:"p99"`
	FirstP50     Number            `json:"first_token_p50"`
	FirstP99     Number            `json:"first_token_p99"`
	Tokens       map[string]Number `json:"tokens"` // by class
	Cost         []Amount          `json:"cost"`
	WastedTokens Number            `json:"wasted_tokens"`
	WastedCost   []Amount          `json:"wasted_cost"`
	UsageMissing Number            `json:"usage_missing"` // attempts
	PriceUnknown Number            `json:"price_unknown"` // attempts
	Outcomes     map[string]Number `json:"outcomes"`      // of attempts
}

// Amount is money.
type Amount struct {
	Currency string `json:"currency"`
	Amount   Number `json:"amount"`
}

// Sampling is how many spans were started since the start, by sampling result.
type Sampling struct {
	Spans   map[string]Number `json:"spans"`
	Share   Number            `json:"share"` // of RECORD_AND_SAMPLE
	Rescued int64             `json:"rescued"`
}

// Cardinality is how many series the instruments have.
type Cardinality struct {
	// Limit is that of each instrument, for the caller to fill in.
	Limit int `json:"limit"`
	// Instruments are the largest, at most 20.
	Instruments []Instrument `json:"instruments"`
}

// Instrument is a metric and its number of series.
type Instrument struct {
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	Kind     string `json:"kind"` // counter, up_down_counter, gauge, histogram, exponential_histogram or summary
	Series   int    `json:"series"`
	Overflow bool   `json:"overflow"` // more were asked for than the limit allows
}

// Telemetry has the failures of the telemetry itself, since the start.
type Telemetry struct {
	RefusedValues    Number `json:"refused_values"`
	CallbackFailures Number `json:"callback_failures"`
	ScrapeFailures   Number `json:"scrape_failures"`
}

// Reading is the value of one series.
type Reading struct {
	Name       string `json:"name"`
	Value      Number `json:"value"`
	Unit       string `json:"unit"`
	Attributes string `json:"attributes,omitempty"` // such as cpu.mode=user
}
