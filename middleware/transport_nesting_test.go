package middleware_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/baggage"

	"github.com/otelmon/toolkit/llm"
	"github.com/otelmon/toolkit/middleware"
)

// clientLayers are the ways to have a Transport for LLM APIs and one for HTTP,
// whose trace context goes to all hosts.
func clientLayers(sdk *clientSDK, cfg llm.Config) map[string]func(base http.RoundTripper) http.RoundTripper {
	plain := func(base http.RoundTripper) http.RoundTripper { return middleware.Transport(base, sdk.Config) }
	calls := func(base http.RoundTripper) http.RoundTripper { return llm.Transport(base, cfg) }
	return map[string]func(http.RoundTripper) http.RoundTripper{
		"alone":              calls,
		"with one around":    func(base http.RoundTripper) http.RoundTripper { return plain(calls(base)) },
		"with one inside":    func(base http.RoundTripper) http.RoundTripper { return calls(plain(base)) },
		"with one each side": func(base http.RoundTripper) http.RoundTripper { return plain(calls(plain(base))) },
	}
}

func TestTransportsKeepTheTraceFromLLMAPIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		to   []string
		path string
		want bool
	}{
		"of a call, by default":                 {nil, "/v1/chat/completions", false},
		"of a call of a host that is not named": {[]string{"other.example.com"}, "/v1/chat/completions", false},
		"of a call of a host that is named":     {[]string{"api.example.com"}, "/v1/chat/completions", true},
		"of no call, by default":                {nil, "/v1/models", true},
		"of no call, for want of a model":       {nil, "/v1/responses", true},
	} {
		for way, sdk := range newClientSDKs() {
			cfg := llm.Config{TracerProvider: sdk.TracerProvider, MeterProvider: sdk.MeterProvider, HTTP: sdk.Config}
			cfg.HTTP.PropagateTo = c.to
			for where, layer := range clientLayers(sdk, cfg) {
				t.Run(name+", "+where+", "+way, func(t *testing.T) {
					t.Parallel()
					var sent http.Header
					base := clientBase(func(r *http.Request) (*http.Response, error) {
						sent = r.Header
						_, _ = io.Copy(io.Discard, r.Body)
						return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{}`))}, nil
					})
					clientAsk(t, layer(base), c.path)
					got := map[string]bool{"Traceparent": sent.Get("Traceparent") != "", "Baggage": sent.Get("Baggage") != ""}
					if diff := cmp.Diff(map[string]bool{"Traceparent": c.want, "Baggage": c.want}, got); diff != "" {
						t.Errorf("(-want +got)\n%s", diff)
					}
				})
			}
		}
	}
}

// clientAsk sends a request with baggage in its context.
func clientAsk(t testing.TB, transport http.RoundTripper, path string) {
	t.Helper()
	tenant, err := baggage.NewMember("tenant", "acme")
	if err != nil {
		t.Fatal(err)
	}
	all, err := baggage.New(tenant)
	if err != nil {
		t.Fatal(err)
	}
	ctx := baggage.ContextWithBaggage(t.Context(), all)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://api.example.com"+path, strings.NewReader(`{"messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}
