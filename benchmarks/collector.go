package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // to read what is compressed
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// requestBytes is more than any request has.
const requestBytes = 16 << 20

// collector is an OTLP server in a process of its own. It counts the spans and
// log records that it gets, and forgets them.
type collector struct {
	*process
	grpc, http string
	// hanging takes requests over gRPC, and never answers.
	hanging string
}

func startCollector(ctx context.Context) (*collector, error) {
	p, err := startProcess(ctx, roleCollector)
	if err != nil {
		return nil, err
	}
	if len(p.addresses) != 3 {
		return nil, fmt.Errorf("the Collector listens at %q", p.addresses)
	}
	return &collector{p, p.addresses[0], p.addresses[1], p.addresses[2]}, nil
}

// received returns how many spans and log records came so far.
func (c *collector) received(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.http+"/received", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("asking the Collector: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("asking the Collector: %w", err)
	}
	return strconv.Atoi(string(text))
}

// serveCollector is the other side.
func serveCollector() error {
	var received atomic.Int64
	counting := newGRPCServer(func(body []byte, ctx context.Context) error {
		if method, _ := grpc.Method(ctx); strings.Contains(method, "MetricsService") {
			return nil
		}
		n, err := items(body)
		received.Add(int64(n))
		return err
	})
	hanging := newGRPCServer(func(_ []byte, ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	overHTTP := &http.Server{ReadHeaderTimeout: time.Minute, Handler: httpCollector(&received)}
	var addresses []string
	for _, serve := range []func(net.Listener) error{counting.Serve, overHTTP.Serve, hanging.Serve} {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		addresses = append(addresses, listener.Addr().String())
		go func() { _ = serve(listener) }() // until the process ends
	}
	return ready(addresses...)
}

// newGRPCServer answers any method with an empty message, after take.
func newGRPCServer(take func(body []byte, ctx context.Context) error) *grpc.Server {
	return grpc.NewServer(
		grpc.ForceServerCodecV2(plain{}),
		grpc.MaxRecvMsgSize(requestBytes),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			var body []byte
			if err := stream.RecvMsg(&body); err != nil {
				return err
			}
			if err := take(body, stream.Context()); err != nil {
				return err
			}
			return stream.SendMsg([]byte{})
		}),
	)
}

// plain leaves messages encoded.
type plain struct{}

func (plain) Name() string { return "proto" }

func (plain) Marshal(v any) (mem.BufferSlice, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("an answer is %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(body)}, nil
}

func (plain) Unmarshal(data mem.BufferSlice, v any) error {
	body, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a request is %T", v)
	}
	*body = data.Materialize()
	return nil
}

func httpCollector(received *atomic.Int64) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /received", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, received.Load())
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		n, err := readItems(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		received.Add(int64(n))
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	return mux
}

func readItems(r *http.Request) (int, error) {
	var reader io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return 0, err
		}
		reader = unzipped
	}
	body, err := io.ReadAll(io.LimitReader(reader, requestBytes))
	if err != nil {
		return 0, err
	}
	return items(body)
}

// items counts the spans or log records of a request: both kinds of request
// have them in the second field of the second field of their first field.
func items(request []byte) (n int, err error) {
	err = eachMessage(request, 1, func(resource []byte) error {
		return eachMessage(resource, 2, func(scope []byte) error {
			return eachMessage(scope, 2, func([]byte) error {
				n++
				return nil
			})
		})
	})
	return n, err
}

// eachMessage calls do with each message in a field.
func eachMessage(message []byte, field protowire.Number, do func([]byte) error) error {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if number == field && kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(message[tag:])
			if err := do(content); err != nil {
				return err
			}
		}
		message = message[tag+size:]
	}
	return nil
}
