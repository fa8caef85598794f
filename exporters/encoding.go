package exporters

import (
	"bytes"
	"sync"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/otlp"
)

// mostOrigins bounds what is remembered of scopes; more of them cost time, not
// memory.
const mostOrigins = 256

// encoding makes the messages of one signal.
type encoding struct {
	otlp.Encoder
	origins bounded.Map[source, *otlp.Origin]
	buffers sync.Pool
}

// source is where items come from. A provider has one resource for all.
type source struct {
	resource *resource.Resource
	scope    instrumentation.Scope
}

func newEncoding(valueBytes int) *encoding {
	return &encoding{
		Encoder: otlp.Encoder{ValueBytes: valueBytes},
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
}

func (e *encoding) origin(r *resource.Resource, scope instrumentation.Scope) *otlp.Origin {
	return e.origins.GetOrMake(source{r, scope}, mostOrigins, func() *otlp.Origin { return e.NewOrigin(r, scope) })
}

// message encodes in a buffer that is used again, and copies the result, which
// then takes no more memory than it needs.
func (e *encoding) message(encode func([]byte) ([]byte, int)) (message []byte, cut int) {
	const most = 64 << 10 // a buffer that grew beyond is not kept
	buffer, ok := e.buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	encoded, cut := encode((*buffer)[:0])
	message = bytes.Clone(encoded)
	if cap(encoded) <= most {
		*buffer = encoded
		e.buffers.Put(buffer)
	}
	return message, cut
}
