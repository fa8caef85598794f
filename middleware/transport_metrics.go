package middleware

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/peer"
	"github.com/otelmon/toolkit/internal/telemetry"
)

const (
	// maxEndpoints is how many servers a Transport tells apart, so that a
	// crawler does not make series without end.
	maxEndpoints = 200
	// maxClientSeries is how many combinations of the other attributes are
	// remembered for a server. Further ones are recorded all the same.
	maxClientSeries = 200
)

// endpoints are the servers that a Transport tells apart.
type endpoints struct {
	known  bounded.Map[spelling, *endpoint]
	others map[string]*endpoint // by scheme
}

// spelling is how URLs name an endpoint. Those that differ in case only have
// the same attributes.
type spelling struct{ scheme, host string }

// endpoint is a server that requests are sent to.
type endpoint struct {
	attributes []attribute.KeyValue
	series     bounded.Map[clientSeries, []metric.RecordOption]
}

type clientSeries struct {
	method, version, errorType string
	status                     int // 0: no response
}

func newEndpoints() *endpoints {
	e := &endpoints{others: map[string]*endpoint{}}
	for _, scheme := range []string{"http", "https", telemetry.Other} {
		e.others[scheme] = newEndpoint(scheme, telemetry.Other, 0)
	}
	return e
}

func newEndpoint(scheme, address string, port int) *endpoint {
	e := &endpoint{attributes: []attribute.KeyValue{
		telemetry.URLScheme.String(scheme),
		telemetry.ServerAddress.String(address),
	}}
	if port != 0 {
		e.attributes = append(e.attributes, telemetry.ServerPort.Int(port))
	}
	return e
}

// of returns the endpoint of the URL, or one for all others.
func (e *endpoints) of(u *url.URL) *endpoint {
	key := spelling{u.Scheme, u.Host}
	if known, ok := e.known.Get(key); ok {
		return known
	}
	if address, port, ok := peer.Of(u); ok && peer.Plausible(u.Scheme) {
		known, ok := e.known.Add(key, maxEndpoints, func() *endpoint { return newEndpoint(u.Scheme, address, port) })
		if ok {
			return known
		}
	}
	if other, ok := e.others[u.Scheme]; ok {
		return other
	}
	return e.others[telemetry.Other]
}

// options returns those of a series, without allocating after the first time.
func (e *endpoint) options(key clientSeries) []metric.RecordOption {
	return e.series.GetOrMake(key, maxClientSeries, func() []metric.RecordOption { return e.newOptions(key) })
}

func (e *endpoint) newOptions(key clientSeries) []metric.RecordOption {
	attributes := append(slices.Clone(e.attributes), telemetry.HTTPMethod.String(key.method))
	if key.version != "" {
		attributes = append(attributes, telemetry.ProtocolVersion.String(key.version))
	}
	if key.status != 0 {
		attributes = append(attributes, telemetry.HTTPStatusCode.Int(key.status))
	}
	switch {
	case key.errorType != "":
		attributes = append(attributes, telemetry.ErrorType.String(key.errorType))
	case key.status >= http.StatusBadRequest:
		attributes = append(attributes, telemetry.ErrorType.String(strconv.Itoa(key.status)))
	}
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
}

// recordFirstByte records how long the headers of a stream took.
func (c *call) recordFirstByte() {
	if c.transport.cfg.Disable&Duration == 0 && !c.Claimed() {
		c.transport.instruments.firstByte.Record(c.around, time.Since(c.start).Seconds(), c.options("")...)
	}
}

// record records the request at its end.
func (c *call) record(errorType string) {
	if c.Claimed() {
		return
	}
	elapsed := time.Since(c.start).Seconds()
	in, disabled, options := &c.transport.instruments, c.transport.cfg.Disable, c.options(errorType)
	switch {
	case disabled&Duration != 0:
	case c.stream:
		in.streamDuration.Record(c.around, elapsed, options...)
	default:
		in.duration.Record(c.around, elapsed, options...)
	}
	if c.err != nil {
		return
	}
	if size, ok := c.requestSize(); ok && disabled&RequestBodySize == 0 {
		in.requestSize.Record(c.around, size, options...)
	}
	if disabled&ResponseBodySize == 0 && c.sized {
		in.responseSize.Record(c.around, c.body.read.Load(), options...)
	}
}

func (c *call) options(errorType string) []metric.RecordOption {
	return c.endpoint.options(clientSeries{
		method: c.Request.Method, version: c.version, status: c.status, errorType: errorType,
	})
}
