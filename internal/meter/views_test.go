package meter_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/otelmon/toolkit/internal/meter"
)

// keysByName records one value with five attributes in an instrument and returns what is left of them in each metric.
func keysByName(t *testing.T, rules meter.Rules, name string) map[string][]string {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	provider := meter.NewProvider()
	provider.Set(newSDK(t, rules, reader), rules)
	h, err := provider.Meter("m").Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription("of it"))
	check(t, err)
	h.Record(t.Context(), 1, metric.WithAttributes(attribute.String("a", ""), attribute.String("b", ""), attribute.String("c", ""),
		attribute.String("server.address", "x.example"), attribute.Int("server.port", 1)))
	keys := map[string][]string{}
	for name, m := range collect(t, reader) {
		if m.Unit != "s" || m.Description != "of it" {
			t.Errorf("%s: got unit %q and description %q, want those of the instrument", name, m.Unit, m.Description)
		}
		data, ok := m.Data.(metricdata.Histogram[float64])
		if !ok {
			t.Fatalf("%s: got %T, want a histogram", name, m.Data)
		}
		for _, kv := range data.DataPoints[0].Attributes.ToSlice() {
			keys[name] = append(keys[name], string(kv.Key))
		}
	}
	return keys
}

func deny(keys ...attribute.Key) func(sdkmetric.Instrument) attribute.Filter {
	return func(sdkmetric.Instrument) attribute.Filter { return attribute.NewDenyKeysFilter(keys...) }
}

func TestViews(t *testing.T) {
	t.Parallel()
	raw := func(name string, filter attribute.Filter) sdkmetric.View {
		return func(i sdkmetric.Instrument) (sdkmetric.Stream, bool) {
			return sdkmetric.Stream{Name: name, AttributeFilter: filter}, i.Name != "other"
		}
	}
	all := []string{"a", "b", "c", "server.address", "server.port"}
	tests := map[string]struct {
		rules      meter.Rules
		instrument string
		want       map[string][]string
	}{
		"no rules keep all attributes": {meter.Rules{}, "d", map[string][]string{"d": all}},
		"HTTP server instruments lose what the client's Host header says": {
			meter.Rules{}, "http.server.request.duration", map[string][]string{"http.server.request.duration": {"a", "b", "c"}},
		},
		"the rules' filter is added": {
			meter.Rules{AttributeFilter: deny("a")}, "HTTP.server.x", map[string][]string{"HTTP.server.x": {"b", "c"}},
		},
		"a filter function may return nil": {
			meter.Rules{AttributeFilter: func(sdkmetric.Instrument) attribute.Filter { return nil }}, "d", map[string][]string{"d": all},
		},
		"a view's filter, the rules' and the built-in one all apply": {
			meter.Rules{AttributeFilter: deny("b"), Views: []sdkmetric.View{raw("renamed", attribute.NewDenyKeysFilter("a"))}},
			"http.server.x",
			map[string][]string{"renamed": {"c"}},
		},
		"a raw view that names nothing keeps the instrument's name": {
			meter.Rules{Views: []sdkmetric.View{raw("", nil)}}, "d", map[string][]string{"d": all},
		},
		"several matching views make several streams": {
			meter.Rules{AttributeFilter: deny("c"), Views: []sdkmetric.View{raw("one", nil), nil, raw("two", attribute.NewAllowKeysFilter("a"))}},
			"d",
			map[string][]string{"one": {"a", "b", "server.address", "server.port"}, "two": {"a"}},
		},
		"an instrument that no view matches falls through": {
			meter.Rules{AttributeFilter: deny("c"), Views: []sdkmetric.View{raw("renamed", nil)}},
			"other",
			map[string][]string{"other": {"a", "b", "server.address", "server.port"}},
		},
		"disabled goes before the user's views": {
			meter.Rules{Disabled: []string{"d?"}, Views: []sdkmetric.View{raw("renamed", nil)}}, "dd", map[string][]string{},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, keysByName(t, tt.rules, tt.instrument)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestViewsChooseNoAggregationAndNoFilterUnlessAsked(t *testing.T) {
	t.Parallel()
	views := meter.Views(meter.Rules{})
	if len(views) != 1 {
		t.Fatalf("got %d views, want 1", len(views))
	}
	stream, ok := views[0](sdkmetric.Instrument{Name: "d", Unit: "s"})
	if !ok || stream.Aggregation != nil || stream.AttributeFilter != nil {
		t.Errorf("got %+v, %t, want neither aggregation nor filter", stream, ok)
	}
}

func TestAViewKeepsItsOwnReservoirAndAggregation(t *testing.T) {
	t.Parallel()
	asked := false
	view := sdkmetric.NewView(sdkmetric.Instrument{Name: "d"}, sdkmetric.Stream{
		Aggregation: sdkmetric.AggregationSum{},
		ExemplarReservoirProviderSelector: func(sdkmetric.Aggregation) exemplar.ReservoirProvider {
			asked = true
			return exemplar.FixedSizeReservoirProvider(1)
		},
	})
	reader := sdkmetric.NewManualReader()
	h, err := newSDK(t, meter.Rules{Views: []sdkmetric.View{view}}, reader).Meter("m").Float64Histogram("d")
	check(t, err)
	h.Record(t.Context(), 2)
	if _, ok := collect(t, reader)["d"].Data.(metricdata.Sum[float64]); !ok || !asked {
		t.Errorf("got sum %t, own reservoir %t, want both", ok, asked)
	}
}
