package faultcollector_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/faultcollector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client sends spans with these ids, once.
type client func(ctx context.Context, ids ...byte) error

func spans(ids ...byte) *coltrace.ExportTraceServiceRequest {
	scope := &tracepb.ScopeSpans{}
	for _, id := range ids {
		scope.Spans = append(scope.Spans, &tracepb.Span{Name: "span", TraceId: make([]byte, 16), SpanId: spanID(id)})
	}
	return &coltrace.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{scope}}}}
}

func spanID(id byte) []byte { return []byte{id, 0, 0, 0, 0, 0, 0, 0} }

// times is how many times spans 1, 2 and so on are to arrive.
func times(counts ...int) map[trace.SpanID]int {
	times := map[trace.SpanID]int{}
	for i, count := range counts {
		if count > 0 {
			times[trace.SpanID(spanID(byte(i+1)))] = count
		}
	}
	return times
}

func dialGRPC(t *testing.T, c *faultcollector.Collector, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return c.Dial(ctx, "tcp", address) }),
	}, options...)
	conn, err := grpc.NewClient(c.GRPC, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// overGRPC does not try again, even where gRPC would by itself.
func overGRPC(t *testing.T, c *faultcollector.Collector, options ...grpc.DialOption) client {
	t.Helper()
	service := coltrace.NewTraceServiceClient(dialGRPC(t, c, append(options, grpc.WithDisableRetry())...))
	return func(ctx context.Context, ids ...byte) error {
		_, err := service.Export(ctx, spans(ids...))
		return err
	}
}

func httpClient(t *testing.T, c *faultcollector.Collector, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: c.Dial, TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// post returns the answer with its body already read.
func post(ctx context.Context, sender *http.Client, url string, content []byte, headers ...string) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := sender.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

func overHTTP(t *testing.T, c *faultcollector.Collector) client {
	t.Helper()
	client := httpClient(t, c, nil)
	return func(ctx context.Context, ids ...byte) error {
		response, _, err := post(ctx, client, "http://"+c.HTTP+"/v1/traces", encode(t, spans(ids...)))
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("got status %s", response.Status)
		}
		return err
	}
}

func encode(t *testing.T, message proto.Message) []byte {
	t.Helper()
	content, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// both runs a test over both protocols, in memory and with fake time.
func both(t *testing.T, run func(t *testing.T, c *faultcollector.Collector, connect func() client)) {
	t.Helper()
	t.Run("over gRPC", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := faultcollector.StartInMemory(t)
			run(t, c, func() client { return overGRPC(t, c) })
		})
	})
	t.Run("over HTTP", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := faultcollector.StartInMemory(t)
			run(t, c, func() client { return overHTTP(t, c) })
		})
	})
}

// bothOnSockets does so on sockets, where time is real.
func bothOnSockets(t *testing.T, run func(t *testing.T, c *faultcollector.Collector, connect func() client)) {
	t.Helper()
	t.Run("over gRPC on sockets", func(t *testing.T) {
		t.Parallel()
		c := faultcollector.Start(t)
		run(t, c, func() client { return overGRPC(t, c) })
	})
	t.Run("over HTTP on sockets", func(t *testing.T) {
		t.Parallel()
		c := faultcollector.Start(t)
		run(t, c, func() client { return overHTTP(t, c) })
	})
}

// within is a context that ends after a time.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
