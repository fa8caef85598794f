package otlp_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/otlp"
)

// mixed returns spans of two resources and three scopes of each, by turns.
func mixed(n int) tracetest.SpanStubs {
	spans := make(tracetest.SpanStubs, n)
	for i := range spans {
		spans[i] = tracetest.SpanStub{
			Name:     strconv.Itoa(i),
			Resource: resource.NewWithAttributes("schema", attribute.Int("resource", i%2)),
			InstrumentationScope: instrumentation.Scope{
				Name: "scope", SchemaURL: "schema", Attributes: attribute.NewSet(attribute.Int("scope", i%3)),
			},
		}
	}
	return spans
}

func TestRequestGroupsAsTheExporterDoes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 7, 300} {
		spans := mixed(n).Snapshots()
		got, _ := encodedSpans(t, otlp.Encoder{}, spans)
		compare(t, got, exportedSpans(t, spans))
	}
}

func TestRequestLeavesItemsAlone(t *testing.T) {
	t.Parallel()
	items, _ := spanItems(otlp.Encoder{}, mixed(50).Snapshots())
	before := slices.Clone(items)
	otlp.AppendRequest(nil, items)
	for i, item := range items {
		if item.Origin != before[i].Origin || string(item.Message) != string(before[i].Message) {
			t.Fatalf("item %d changed", i)
		}
	}
}

// The exporter sends the schema URL of the first only.
func TestResourcesOfTwoSchemaURLsStayApart(t *testing.T) {
	t.Parallel()
	spans := mixed(2)
	spans[1].Resource = resource.NewWithAttributes("other", spans[0].Resource.Attributes()...)
	request, _ := encodedSpans(t, otlp.Encoder{}, spans.Snapshots())
	var got []string
	for _, r := range request.GetResourceSpans() {
		got = append(got, r.GetSchemaUrl())
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"other", "schema"}, got); diff != "" {
		t.Errorf("schema URLs (-want +got):\n%s", diff)
	}
}

func TestRequestIsNoLargerThanItsParts(t *testing.T) {
	t.Parallel()
	from := otlp.Encoder{}.NewOrigin(resource.NewSchemaless(attribute.String("service.name", "x")), instrumentation.Scope{Name: "y"})
	for name, lengths := range map[string][]int{
		"of an empty item":              {0},
		"of short items":                {1, 2, 3},
		"of items of about 128 bytes":   {122, 123, 124, 125, 126, 127, 128, 129},
		"of items that make 128 bytes":  {40, 40},
		"of an item of about 16 KiB":    {1<<14 - 3},
		"of two items of more than MiB": {1 << 21, 1 << 21},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most := from.Size()
			var items []otlp.Item
			for _, length := range lengths {
				item := otlp.Item{Origin: from, Message: marshal(&tracepb.Span{Name: strings.Repeat("x", length)})}
				items = append(items, item)
				most += item.Size()
			}
			b := otlp.AppendRequest(nil, items)
			if got := len(b); got > most || got < most-8 {
				t.Errorf("got a request of %d bytes, want %d or up to 8 less", got, most)
			}
			var request coltracepb.ExportTraceServiceRequest
			if err := proto.Unmarshal(b, &request); err != nil {
				t.Fatalf("decoding: %v", err)
			}
			for i, span := range request.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
				if got := len(span.GetName()); got != lengths[i] {
					t.Errorf("item %d: got a name of %d bytes, want %d", i, got, lengths[i])
				}
			}
		})
	}
}
