package exporters_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
)

// startWebRig pushes spans to a handler in memory.
func startWebRig(t *testing.T, handler http.HandlerFunc) *rig {
	t.Helper()
	r := startRig(t, faultcollector.StartInMemory(t), protocolHTTP, exporters.OTLP{DisableLogs: true})
	r.through.Store(&dialer{serveInMemory(t, nil, handler).dial})
	return r
}

// A status of 200 alone does not say that it was OTLP that was understood.
func TestWhatIsAnAcknowledgement(t *testing.T) {
	t.Parallel()
	const (
		partial  = "\x0a\x02\x08\x01" // partial_success{rejected_spans: 1}
		protobuf = "application/x-protobuf"
		json     = "application/json"
	)
	none, rejected, senseless := map[string]int64(nil), map[string]int64{"rejected": 1}, map[string]int64{"invalid_response": 3}
	tests := map[string]struct {
		kind, body string
		status     int
		want       map[string]int64 // lost of 3
	}{
		"nothing":                                    {"", "", 200, none},
		"nothing of a type":                          {"text/plain", "", 200, none},
		"no content":                                 {"", "", 204, none},
		"an empty message":                           {protobuf, "", 200, none},
		"a partial success":                          {protobuf, partial, 200, rejected},
		"a partial success with a parameter":         {protobuf + "; charset=utf-8", partial, 200, rejected},
		"a partial success in upper case":            {"Application/X-Protobuf", partial, 200, rejected},
		"a partial success without a type":           {"", partial, 200, rejected},
		"a partial success, accepted":                {protobuf, partial, 202, rejected},
		"an empty object of JSON":                    {json, "{}", 200, none},
		"an empty partial success in JSON":           {json, `{"partialSuccess":{}}`, 200, none},
		"a partial success in JSON":                  {json, `{"partialSuccess":{"rejectedSpans":1,"errorMessage":"too old"}}`, 200, rejected},
		"a partial success in JSON with text":        {json, `{"partialSuccess":{"rejectedSpans":"1"}}`, 200, rejected},
		"a partial success in JSON, parameter":       {json + "; charset=utf-8", `{"partialSuccess":{"rejectedSpans":1}}`, 200, rejected},
		"less than none in JSON":                     {json, `{"partialSuccess":{"rejectedSpans":"-1"}}`, 200, none},
		"text":                                       {"text/plain; charset=utf-8", "ok", 200, senseless},
		"a page":                                     {"text/html", "<html>Welcome</html>", 200, senseless},
		"a page without a type":                      {"", "<html>Welcome</html>", 200, senseless},
		"another object of JSON":                     {json, `{"status":"ok"}`, 200, senseless},
		"a list of JSON":                             {json, `["ok"]`, 200, senseless},
		"a page that says it is JSON":                {json, "<html>Welcome</html>", 200, senseless},
		"a page that says it is protobuf":            {protobuf, "<html>Welcome</html>", 200, senseless},
		"a number in JSON that is too large":         {json, `{"partialSuccess":{"rejectedSpans":1e99}}`, 200, none},
		"a type that is unknown":                     {"application/grpc", partial, 200, senseless},
		"more spans in JSON than were sent":          {json, `{"partialSuccess":{"rejectedSpans":"9223372036854775807"}}`, 200, map[string]int64{"rejected": 3}},
		"numbers in JSON that are too many together": {json, `{"partialSuccess":{"rejectedSpans":"9223372036854775807","rejectedLogRecords":"9223372036854775807"}}`, 200, map[string]int64{"rejected": 3}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int32
				r := startWebRig(t, func(w http.ResponseWriter, _ *http.Request) {
					requests.Add(1)
					w.Header()["Content-Type"] = nil // which net/http would guess
					if test.kind != "" {
						w.Header().Set("Content-Type", test.kind)
					}
					w.WriteHeader(test.status)
					_, _ = w.Write([]byte(test.body))
				})
				for range 3 {
					r.span(t)
				}
				err := r.flush(t.Context())
				got := r.accounts(t)["traces"]
				if diff := cmp.Diff(test.want, got.failed); diff != "" {
					t.Errorf("failed differ (-want +got):\n%s", diff)
				}
				if got.acknowledged != 3-sum(test.want) || (err != nil) != (len(test.want) > 0) || requests.Load() != 1 {
					t.Errorf("got %+v of %d requests and error %v", got, requests.Load(), err)
				}
			})
		})
	}
}

// Whether the peer took it, its answer would say.
func TestAnswerThatBreaksOffIsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		r := startWebRig(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			if requests.Add(1) > 1 {
				return
			}
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // cuts the connection
		})
		r.span(t)
		began := time.Now()
		if err := r.flush(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); requests.Load() != 2 || took > 2*time.Second {
			t.Errorf("got %d requests in %v, want a second one after a second", requests.Load(), took)
		}
		if a := r.accounts(t)["traces"]; a.accepted != 1 || a.acknowledged != 1 || a.lost() != 0 {
			t.Errorf("got %+v, want one span, acknowledged once", a)
		}
		r.checkLines(t, map[string]int{"reading the answer": 1, "recovered": 1, "": 2})
	})
}
