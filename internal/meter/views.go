package meter

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// Views returns the views that the SDK's MeterProvider is to be built with, instead of rules.Views: one for each of
// those, combined with what the rules add, and one for the instruments that none of them matches. They are combined here
// because the SDK does not: of two views that match an instrument and give it the same name, the second is ignored.
//
// All exemplars are kept in small reservoirs with a place for the largest measurement, unless a view chose its own.
// Observable instruments called http.server.* lose server.address and server.port, as the synchronous ones do in the
// [Provider].
//
// There is no other filter by default: with any filter the SDK takes about twice as long to record, and does not heed the
// attributes that an instrument advises, which is experimental.
func Views(rules Rules) []sdkmetric.View {
	var views []sdkmetric.View
	for _, view := range rules.Views {
		if view == nil {
			continue
		}
		views = append(views, func(instrument sdkmetric.Instrument) (sdkmetric.Stream, bool) {
			stream, ok := view(instrument)
			if !ok {
				return sdkmetric.Stream{}, false
			}
			return complete(stream, instrument, rules), true
		})
	}
	users := views
	return append(slices.Clip(views), func(instrument sdkmetric.Instrument) (sdkmetric.Stream, bool) {
		for _, view := range users {
			if _, ok := view(instrument); ok {
				return sdkmetric.Stream{}, false
			}
		}
		return complete(sdkmetric.Stream{}, instrument, rules), true
	})
}

// complete fills in what stream leaves open and adds the rules' filters to its own.
func complete(stream sdkmetric.Stream, instrument sdkmetric.Instrument, rules Rules) sdkmetric.Stream {
	if stream.Name == "" {
		stream.Name = instrument.Name
	}
	if stream.Description == "" {
		stream.Description = instrument.Description
	}
	if stream.Unit == "" {
		stream.Unit = instrument.Unit
	}
	if stream.ExemplarReservoirProviderSelector == nil {
		stream.ExemplarReservoirProviderSelector = selectReservoir
	}
	if matchesAny(rules.Disabled, instrument.Name) {
		stream.Aggregation = sdkmetric.AggregationDrop{}
	}
	stream.AttributeFilter = both(stream.AttributeFilter, builtInFilter(instrument))
	if rules.AttributeFilter != nil {
		stream.AttributeFilter = both(stream.AttributeFilter, rules.AttributeFilter(instrument))
	}
	return stream
}

// both returns a filter that keeps what a and b keep. Nil keeps all.
func both(a, b attribute.Filter) attribute.Filter {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	default:
		return func(kv attribute.KeyValue) bool { return a(kv) && b(kv) }
	}
}
