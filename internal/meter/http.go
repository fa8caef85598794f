package meter

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// otelhttpScope is the scope of otelhttp. It is written out so that the package does not depend on otelhttp.
const otelhttpScope = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

const (
	serverPrefix = "http.server."
	clientPrefix = "http.client."
)

// restriction is what a synchronous instrument does not pass on to its target.
type restriction struct {
	server bool // nothing of server requests that the middleware measures
	client bool // nothing of client requests that the middleware measures
	host   bool // no server.address and server.port
}

// restrictionOf returns that of the instrument called name, in lower case, of a scope. Our own middleware needs none.
func restrictionOf(name, scope string) restriction {
	server := strings.HasPrefix(name, serverPrefix)
	return restriction{
		server: server && scope == otelhttpScope,
		client: strings.HasPrefix(name, clientPrefix) && scope == otelhttpScope,
		host:   server && scope != telemetry.MiddlewareScope,
	}
}

// builtInFilter returns the filter that every reader applies to the instrument, or nil. A synchronous one has none, since
// it doubles what recording costs each reader; restriction.host is in its place.
func builtInFilter(instrument sdkmetric.Instrument) attribute.Filter {
	if !strings.HasPrefix(strings.ToLower(instrument.Name), serverPrefix) || synchronous(instrument.Kind) {
		return nil
	}
	return withoutHost
}

func withoutHost(kv attribute.KeyValue) bool {
	return kv.Key != telemetry.ServerAddress && kv.Key != telemetry.ServerPort
}

func synchronous(kind sdkmetric.InstrumentKind) bool {
	switch kind {
	case sdkmetric.InstrumentKindCounter, sdkmetric.InstrumentKindUpDownCounter,
		sdkmetric.InstrumentKindHistogram, sdkmetric.InstrumentKindGauge:
		return true
	default:
		return false
	}
}

func (r restriction) skips(ctx context.Context) bool {
	return r.server && headsample.Server(ctx) != nil || r.client && headsample.Client(ctx) != nil
}

// hostless returns attributes and those of opts that the API leaves to the SDK, which are experimental, without the host.
func hostless[O any](attributes attribute.Set, opts []O) metric.MeasurementOption {
	for _, o := range opts {
		if raw, ok := any(o).(interface{ RawAttributes() []attribute.KeyValue }); ok {
			attributes = attribute.NewSet(append(attributes.ToSlice(), raw.RawAttributes()...)...)
		}
	}
	attributes, _ = attributes.Filter(withoutHost)
	return metric.WithAttributeSet(attributes)
}

// restrictedAdder stands before the target of a counter that has a restriction.
type restrictedAdder[N int64 | float64] struct {
	next addTarget[N]
	by   restriction
}

// Add passes on what the restriction allows.
func (a restrictedAdder[N]) Add(ctx context.Context, value N, opts ...metric.AddOption) {
	switch {
	case a.by.skips(ctx):
	case a.by.host:
		a.next.Add(ctx, value, hostless(metric.NewAddConfig(opts).Attributes(), opts))
	default:
		a.next.Add(ctx, value, opts...)
	}
}

// Enabled reports whether the target records anything of ctx.
func (a restrictedAdder[N]) Enabled(ctx context.Context) bool {
	return !a.by.skips(ctx) && a.next.Enabled(ctx)
}

// restrictedRecorder stands before the target of a histogram or gauge that has a restriction.
type restrictedRecorder[N int64 | float64] struct {
	next recordTarget[N]
	by   restriction
}

// Record passes on what the restriction allows.
func (r restrictedRecorder[N]) Record(ctx context.Context, value N, opts ...metric.RecordOption) {
	switch {
	case r.by.skips(ctx):
	case r.by.host:
		r.next.Record(ctx, value, hostless(metric.NewRecordConfig(opts).Attributes(), opts))
	default:
		r.next.Record(ctx, value, opts...)
	}
}

// Enabled reports whether the target records anything of ctx.
func (r restrictedRecorder[N]) Enabled(ctx context.Context) bool {
	return !r.by.skips(ctx) && r.next.Enabled(ctx)
}
