package otlp

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of ExportTraceServiceRequest, ResourceSpans, Resource, ScopeSpans
// and InstrumentationScope. Those of the messages for logs have the same numbers.
const (
	requestResources protowire.Number = 1

	resourceResource  protowire.Number = 1
	resourceScopes    protowire.Number = 2
	resourceSchemaURL protowire.Number = 3

	resourceAttributes protowire.Number = 1

	scopeScope     protowire.Number = 1
	scopeItems     protowire.Number = 2
	scopeSchemaURL protowire.Number = 3

	scopeName       protowire.Number = 1
	scopeVersion    protowire.Number = 2
	scopeAttributes protowire.Number = 3
)

// prefixBytes is the most that tag and length of a field take: one byte for a
// number below 16, and five for a length below 32 GiB.
const prefixBytes = 1 + 5

// Origin is where items come from: a resource and a scope, encoded once. It does
// not change, and is safe for concurrent use. Make one per scope and keep it, as
// making it is expensive.
type Origin struct {
	resource string // the fields of ResourceSpans without the scopes
	scope    string // the fields of ScopeSpans without the items
}

// NewOrigin encodes a resource, which may be nil, and a scope.
func (e Encoder) NewOrigin(r *resource.Resource, s instrumentation.Scope) *Origin {
	by, from := e.message(nil), e.message(nil)
	if r != nil {
		start := by.begin(resourceResource)
		by.set(resourceAttributes, r.Iter())
		by.end(start)
		by.text(resourceSchemaURL, r.SchemaURL())
	}
	if s != (instrumentation.Scope{}) {
		start := from.begin(scopeScope)
		from.text(scopeName, s.Name)
		from.text(scopeVersion, s.Version)
		from.set(scopeAttributes, s.Attributes.Iter())
		from.end(start)
		from.text(scopeSchemaURL, s.SchemaURL)
	}
	return &Origin{resource: string(by.bytes), scope: string(from.bytes)}
}

// Size returns the most bytes that the origin adds to a request, once for all of
// its items.
func (o *Origin) Size() int {
	return prefixBytes + len(o.resource) + prefixBytes + len(o.scope)
}

// Item is an encoded span or log record.
type Item struct {
	Origin  *Origin // never nil
	Message []byte  // from AppendSpan or AppendLogRecord
}

// Size returns the bytes that the item adds to a request, besides those of its
// origin.
func (i Item) Size() int {
	return protowire.SizeTag(scopeItems) + protowire.SizeBytes(len(i.Message))
}

// AppendRequest appends an ExportTraceServiceRequest of spans, or an
// ExportLogsServiceRequest of log records, to b and returns the longer b. Items
// of equal resources share a ResourceSpans, schema URL included; of these, items
// of equal scopes share a ScopeSpans, where they keep their order. Items is only
// read. The request has no more bytes than all items and each different origin
// among them together.
func AppendRequest(b []byte, items []Item) []byte {
	if !slices.IsSortedFunc(items, compareOrigin) {
		items = slices.Clone(items)
		slices.SortStableFunc(items, compareOrigin)
	}
	for group := range groups(items, compareResource) {
		size := resourceSize(group)
		b = slices.Grow(b, prefixBytes+size)
		b = appendPrefix(b, requestResources, size)
		b = append(b, group[0].Origin.resource...)
		for group := range groups(group, compareOrigin) {
			b = appendPrefix(b, resourceScopes, scopeSize(group))
			b = append(b, group[0].Origin.scope...)
			for _, item := range group {
				b = appendPrefix(b, scopeItems, len(item.Message))
				b = append(b, item.Message...)
			}
		}
	}
	return b
}

func appendPrefix(b []byte, field protowire.Number, size int) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size))
}

func resourceSize(items []Item) int {
	size := len(items[0].Origin.resource)
	for group := range groups(items, compareOrigin) {
		size += protowire.SizeTag(resourceScopes) + protowire.SizeBytes(scopeSize(group))
	}
	return size
}

func scopeSize(items []Item) int {
	size := len(items[0].Origin.scope)
	for _, item := range items {
		size += item.Size()
	}
	return size
}

func compareOrigin(a, b Item) int {
	if a.Origin == b.Origin {
		return 0
	}
	return cmp.Or(compareResource(a, b), strings.Compare(a.Origin.scope, b.Origin.scope))
}

func compareResource(a, b Item) int {
	return strings.Compare(a.Origin.resource, b.Origin.resource)
}

// groups yields the runs of equal items.
func groups(items []Item, compare func(a, b Item) int) iter.Seq[[]Item] {
	return func(yield func([]Item) bool) {
		for len(items) > 0 {
			n := 1
			for n < len(items) && compare(items[0], items[n]) == 0 {
				n++
			}
			if !yield(items[:n]) {
				return
			}
			items = items[n:]
		}
	}
}
