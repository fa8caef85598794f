package faultcollector

import (
	"context"
	"crypto/tls"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // requests come compressed
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const traces, metrics, logs = "traces", "metrics", "logs"

// newRequest returns nil for what is no signal.
func newRequest(signal string) proto.Message {
	switch signal {
	case traces:
		return &coltrace.ExportTraceServiceRequest{}
	case metrics:
		return &colmetrics.ExportMetricsServiceRequest{}
	case logs:
		return &collogs.ExportLogsServiceRequest{}
	default:
		return nil
	}
}

// acknowledgement has a partial success only when there is something to say.
func acknowledgement(signal string, reply Reply) proto.Message {
	said := reply.Rejected > 0 || reply.Message != ""
	switch {
	case signal == traces && said:
		return &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: reply.Rejected, ErrorMessage: reply.Message}}
	case signal == metrics && said:
		return &colmetrics.ExportMetricsServiceResponse{PartialSuccess: &colmetrics.ExportMetricsPartialSuccess{RejectedDataPoints: reply.Rejected, ErrorMessage: reply.Message}}
	case signal == logs && said:
		return &collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: reply.Rejected, ErrorMessage: reply.Message}}
	default:
		return &coltrace.ExportTraceServiceResponse{} // empty, as those of the others
	}
}

func (c *Collector) serverGRPC(config *tls.Config) (serve, stop func()) {
	options := []grpc.ServerOption{grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}), grpc.WaitForHandlers(true)}
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	server := grpc.NewServer(options...)
	for signal, service := range map[string]string{
		traces:  coltrace.TraceService_ServiceDesc.ServiceName,
		metrics: colmetrics.MetricsService_ServiceDesc.ServiceName,
		logs:    collogs.LogsService_ServiceDesc.ServiceName,
	} {
		export := grpc.MethodDesc{MethodName: "Export", Handler: c.exportGRPC(signal)}
		server.RegisterService(&grpc.ServiceDesc{ServiceName: service, Methods: []grpc.MethodDesc{export}}, nil)
	}
	return func() { _ = server.Serve(c.grpc) }, server.Stop // which ends Serve
}

func (c *Collector) exportGRPC(signal string) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		message := newRequest(signal)
		if err := decode(message); err != nil {
			return nil, err
		}
		headers, _ := metadata.FromIncomingContext(ctx)
		reply, err := c.receive(ctx, request{signal: signal, path: signal, headers: headers, message: message})
		if err != nil {
			return nil, status.FromContextError(err).Err()
		}
		if reply.refuses(false) {
			return nil, reply.err()
		}
		if reply.Body != nil {
			return raw(reply.Body), nil
		}
		return acknowledgement(signal, reply), nil
	}
}

// raw goes out as it is.
type raw []byte

// codec is that of protobuf, and knows raw bytes.
type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if bytes, ok := v.(raw); ok {
		return mem.BufferSlice{mem.SliceBuffer(bytes)}, nil
	}
	return c.CodecV2.Marshal(v)
}
