package llm

import (
	"net/http"

	"github.com/otelmon/toolkit/middleware"
)

// Transport returns base with telemetry of calls of LLM APIs. A nil base means
// [http.DefaultTransport].
func Transport(base http.RoundTripper, cfg Config) http.RoundTripper {
	cfg = cfg.defaults()
	return middleware.Transport(base, cfg.HTTP)
}
