package proxy

import (
	"encoding/json"
	"net/http"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// answer is what the proxy says itself, in the form that clients of LLM APIs
// take errors in.
type answer struct {
	status   int
	kind     string // what programs may look at
	message  string
	upstream string
}

func (a answer) write(w http.ResponseWriter) {
	type details struct {
		Message  string `json:"message"`
		Type     string `json:"type"`
		Upstream string `json:"upstream,omitempty"`
	}
	body, err := json.Marshal(map[string]details{"error": {a.message, a.kind, a.upstream}})
	if err != nil {
		body = nil // texts always have a form in JSON
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(a.status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

func tunnelRefused() answer {
	return answer{http.StatusMethodNotAllowed, "otelmon_no_tunnel", "this is no forward proxy: set it as the base URL of the client instead", ""}
}

func noUpstream() answer {
	return answer{http.StatusNotFound, "otelmon_no_upstream", "no upstream has a prefix of this path", ""}
}

func loop(upstream string) answer {
	return answer{http.StatusLoopDetected, "otelmon_upstream_loop", "the upstream leads back to this proxy", upstream}
}

func unreadable() answer {
	return answer{http.StatusBadRequest, "otelmon_request_unreadable", "the body of the request cannot be read", ""}
}

// failed tells of a failure of an upstream without details, which may name
// what is behind the proxy.
func failed(errorType, upstream string) answer {
	a := answer{http.StatusBadGateway, "otelmon_upstream_" + errorType, "the request to the upstream failed", upstream}
	switch errorType {
	case telemetry.ErrorTimeout:
		a.status, a.message = http.StatusGatewayTimeout, "the upstream did not answer in time"
	case telemetry.ErrorNameResolution:
		a.message = "the name of the upstream cannot be resolved"
	case telemetry.ErrorConnectionRefused:
		a.message = "the upstream refuses connections"
	case telemetry.ErrorTLS:
		a.message = "no trusted connection to the upstream could be made"
	case telemetry.ErrorConnectionReset, telemetry.ErrorUnexpectedEOF:
		a.message = "the upstream closed the connection before it answered"
	case telemetry.Other:
		a.kind = "otelmon_upstream_failed"
	}
	return a
}
