package llm

import (
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/llm/price"
	"github.com/otelmon/toolkit/middleware"
)

// Config says what [Transport] does. The zero value is a complete
// configuration, which records no contents. It is not to be changed once it was
// passed on.
type Config struct {
	// TracerProvider makes the spans. Default: the global one of the moment,
	// resolved with every call.
	TracerProvider trace.TracerProvider

	// MeterProvider makes the instruments. Default: the global one.
	MeterProvider metric.MeterProvider

	// HTTP configures what happens to requests that are no calls of an LLM
	// API: they are measured as by [middleware.Transport]. Its providers default
	// to those above. Of Disable, Traces is for calls too. PropagateTo is for calls too, but nil means no host for
	// them: the trace context and baggage of a service, which may name its
	// customers, are no business of a provider.
	HTTP middleware.Config

	// Providers names the provider of an API by host, or host:port, in the
	// terms of the attribute gen_ai.provider.name, such as "deepseek". Well-known
	// hosts need no entry; others without one count as _OTHER, and so have no
	// price.
	Providers map[string]string

	// Models are names of models that may become attributes of metrics from
	// the start. Any other may once it answered a call, up to 100 of them;
	// until then it counts as "other". Spans have the name in any case.
	Models []string

	// Prices are what tokens cost. Calls of models without a price are counted
	// in otelmon.llm.price_unknown. Default: [price.Default]. To put a file of
	// one's own before it, use [price.Book.Over].
	Prices *price.Book

	// IncludeUsage asks for the usage of streams for which the client did not,
	// by stream_options.include_usage in requests of chat and text completions,
	// and hides the additional event from the client. Such a request is read
	// as a whole before it is sent, up to 8 MiB; its answer is asked for
	// without compression, and each event of it is passed on when it is
	// complete. What APIs add to the other events then, "usage":null, stays. An
	// API that does not know the option may refuse the request. Without
	// IncludeUsage no byte of requests and answers is changed, and streams without
	// usage are counted in otelmon.llm.usage_missing.
	IncludeUsage bool

	// Caller tells who makes a call, for the attribute otelmon.llm.caller of
	// counters, such as a team. It must not return secrets or names of people,
	// and must be safe for concurrent use; a panic counts as no caller. Default:
	// the attribute is not there.
	Caller func(*http.Request) string

	// Callers are names that may become that attribute from the start. Any
	// other may once a call of it succeeded, up to 100 of them; until then it
	// counts as "other".
	Callers []string

	// Memory is shared by Transports that are to know what the others learnt.
	// Default: one of its own.
	Memory *Memory

	// Content switches on that prompts and completions are recorded, on spans
	// that are sampled and nowhere else.
	Content Content

	// IdleTimeout is how long nobody may read an answer before it counts as
	// aborted. Nothing is closed then. Default 10 min.
	IdleTimeout time.Duration
}

// Content says what is recorded of prompts and completions. The zero value
// records nothing.
type Content struct {
	// MaxBytes is how much of a prompt, and of a completion, is recorded. The
	// prompt is the body of the request as it is, JSON. Exporters cut what is
	// longer than 4 KiB.
	MaxBytes int
	// Redact returns what may be recorded of a text. It is called with what
	// was cut to MaxBytes, once for the request's body and once for the text of
	// the answer, and must be safe for concurrent use. Default: all of it.
	Redact func(text string) string
}

func (c *Config) tracer() trace.TracerProvider {
	if c.TracerProvider != nil {
		return c.TracerProvider
	}
	return otel.GetTracerProvider()
}

func (c Config) defaults() Config {
	if c.HTTP.TracerProvider == nil {
		c.HTTP.TracerProvider = c.TracerProvider
	}
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	if c.HTTP.MeterProvider == nil {
		c.HTTP.MeterProvider = c.MeterProvider
	}
	if c.Prices == nil {
		c.Prices = price.Default()
	}
	if c.Memory == nil {
		c.Memory = &Memory{}
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 10 * time.Minute
	}
	return c
}
