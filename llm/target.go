package llm

import (
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/peer"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// maxTargets is how many servers a Transport tells apart.
const maxTargets = 200

// target is a server that calls go to.
type target struct {
	provider, address string
	port              int
}

// targets are the servers that a Transport tells apart.
type targets struct {
	known     bounded.Map[string, *target] // by host of the URL
	other     *target
	providers map[string]string
}

func newTargets(providers map[string]string) *targets {
	t := &targets{other: &target{provider: telemetry.Other, address: telemetry.Other}, providers: map[string]string{}}
	for host, provider := range providers {
		t.providers[peer.Host(host)] = provider
	}
	return t
}

func (t *targets) of(u *url.URL) *target {
	if known, ok := t.known.Get(u.Host); ok {
		return known
	}
	address, port, ok := peer.Of(u)
	if !ok {
		return t.other
	}
	known, ok := t.known.Add(u.Host, maxTargets, func() *target {
		return &target{provider: t.provider(peer.Host(u.Host), address), address: address, port: port}
	})
	if !ok {
		return t.other
	}
	return known
}

// provider returns that of the host: as configured with port or without, or
// that of a well-known one.
func (t *targets) provider(hostport, host string) string {
	for _, name := range []string{hostport, host} {
		if provider := t.providers[name]; provider != "" {
			return provider
		}
	}
	for _, known := range wellKnown {
		if host == strings.TrimPrefix(known.host, ".") || known.host[0] == '.' && strings.HasSuffix(host, known.host) {
			return known.provider
		}
	}
	if strings.HasPrefix(host, "bedrock-runtime.") && strings.HasSuffix(host, ".amazonaws.com") {
		return "aws.bedrock"
	}
	return telemetry.Other
}

// wellKnown are the hosts of providers, those with a dot with all below them,
// and the values that the GenAI semantic conventions have for them.
var wellKnown = []struct{ host, provider string }{
	{"api.deepseek.com", "deepseek"},
	{".api.openai.com", "openai"},
	{".openai.azure.com", "azure.ai.openai"},
	{".cognitiveservices.azure.com", "azure.ai.openai"},
	{".services.ai.azure.com", "azure.ai.inference"},
	{"api.anthropic.com", "anthropic"},
	{"generativelanguage.googleapis.com", "gcp.gemini"},
	{"aiplatform.googleapis.com", "gcp.vertex_ai"},
	{".aiplatform.googleapis.com", "gcp.vertex_ai"},
	{".ml.cloud.ibm.com", "ibm.watsonx.ai"},
	{"api.mistral.ai", "mistral_ai"},
	{"codestral.mistral.ai", "mistral_ai"},
	{"api.groq.com", "groq"},
	{"api.x.ai", "x_ai"},
	{"api.perplexity.ai", "perplexity"},
	{"api.cohere.com", "cohere"},
	{"api.cohere.ai", "cohere"},
	{"api.moonshot.ai", "moonshot_ai"},
	{"api.moonshot.cn", "moonshot_ai"},
}

// attributes returns those of every series, and room for more. A nil target has
// those of the API alone.
func (t *target) attributes(a *api) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, 12)
	attributes = append(attributes, telemetry.GenAIOperation.String(a.operation))
	if t == nil {
		return attributes
	}
	attributes = append(attributes, telemetry.GenAIProvider.String(t.provider),
		telemetry.LLMAPI.String(a.name), telemetry.ServerAddress.String(t.address))
	if t.port != 0 {
		attributes = append(attributes, telemetry.ServerPort.Int(t.port))
	}
	return attributes
}
