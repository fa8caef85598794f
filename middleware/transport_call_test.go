package middleware_test

import (
	"context"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelmon/toolkit/internal/headsample"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/middleware"
)

func TestTransportCountsABaseThatPanics(t *testing.T) {
	t.Parallel()
	for way, sdk := range newClientSDKs() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			value := &struct{ text string }{"kaput"}
			client := sdk.client(t, clientBase(func(*http.Request) (*http.Response, error) {
				panic(value)
			}))
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what panics is not a cancellation
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example.com/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			func() {
				defer func() {
					if got := recover(); got != any(value) {
						t.Errorf("panicked with %v, want %v", got, value)
					}
				}()
				_, _ = client.Transport.RoundTrip(r)
			}()
			clientCheckAbandoned(t, sdk, way)
		})
	}
}

func TestTransportCountsABaseThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	for way, sdk := range newClientSDKs() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			client := sdk.client(t, clientBase(func(*http.Request) (*http.Response, error) {
				runtime.Goexit()
				return nil, nil
			}))
			var all sync.WaitGroup
			all.Go(func() { _, _ = client.Get("http://api.example.com/") })
			all.Wait()
			clientCheckAbandoned(t, sdk, way)
		})
	}
}

func clientCheckAbandoned(t *testing.T, sdk *clientSDK, way string) {
	t.Helper()
	if diff := cmp.Diff([]string{"error.type=_OTHER"}, clientOutcomes(t, sdk)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	spans := sdk.spans.Ended()
	if want := map[string]int{clientSampled: 1, clientForeign: 1}[way]; len(spans) != want {
		t.Fatalf("%d spans have ended, want %d", len(spans), want)
	}
	for _, span := range spans {
		want := sdktrace.Status{Code: codes.Error, Description: "RoundTrip did not return"}
		if diff := cmp.Diff(want, span.Status()); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if want := telemetry.ErrorType.String(telemetry.Other); !slices.Contains(span.Attributes(), want) {
			t.Errorf("attributes are %v, without %v", span.Attributes(), want)
		}
	}
}

func TestTransportThatPanicsLeavesTheSpanAroundItAlone(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	sdk.Disable = middleware.Traces
	ctx, span := sdk.TracerProvider.Tracer("").Start(t.Context(), "parent")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := sdk.client(t, clientBase(func(*http.Request) (*http.Response, error) {
		panic("kaput")
	}))
	func() {
		defer func() { _ = recover() }()
		_, _ = client.Transport.RoundTrip(r)
	}()
	if !span.IsRecording() {
		t.Error("the span around the request was ended")
	}
	span.End()
	if got := sdk.spans.Ended()[0]; got.Status().Code != codes.Unset || len(got.Attributes()) != 0 {
		t.Errorf("the span around the request has %v, %v", got.Status(), got.Attributes())
	}
}

// clientSwapped decides with one provider and makes spans with another, as
// when the global one is replaced in between.
type clientSwapped struct {
	headsample.Decider
	trace.TracerProvider
}

func TestTransportLeavesNoDecisionForSpansOfOthers(t *testing.T) {
	t.Parallel()
	sdk, other := newClientSDK(), newClientSDKs()[clientForeign]
	otelmon := clientProvider(sdktrace.AlwaysSample(), sdktrace.WithSpanProcessor(sdk.spans))
	sdk.TracerProvider = clientSwapped{otelmon, other.TracerProvider}
	client := sdk.client(t, clientBase(func(r *http.Request) (*http.Response, error) {
		if c, _ := headsample.Pending(r.Context()); c != nil {
			t.Error("a decision is left for the first span of the base")
		}
		_, span := otelmon.Tracer("").Start(r.Context(), "inner")
		span.End()
		return &http.Response{StatusCode: http.StatusOK}, nil
	}))
	clientGet(t, client, t.Context(), "http://api.example.com/")
	inner, outer := sdk.spans.Ended(), other.spans.Ended()
	if len(inner) != 1 || len(outer) != 1 {
		t.Fatalf("%d and %d spans, want one of each", len(inner), len(outer))
	}
	if inner[0].Parent().SpanID() != outer[0].SpanContext().SpanID() || inner[0].SpanContext().TraceID() != outer[0].SpanContext().TraceID() {
		t.Errorf("the inner span is %v, not in that around it, %v", inner[0].SpanContext(), outer[0].SpanContext())
	}
}

func TestTransportHidesTheHeadersFromSamplersOfTheBase(t *testing.T) {
	t.Parallel()
	for way, sdk := range newClientSDKs() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			client := sdk.client(t, clientBase(func(r *http.Request) (*http.Response, error) {
				if c := headsample.Client(r.Context()); c == nil || headsample.Header(r.Context()) != nil || c.Request.Path != "/orders" {
					t.Errorf("samplers see %+v", c)
				}
				return &http.Response{StatusCode: http.StatusOK}, nil
			}))
			clientGet(t, client, t.Context(), "http://api.example.com/orders")
		})
	}
}
