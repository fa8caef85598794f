package otlp_test

import (
	"math"
	"testing"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/internal/otlp"
)

func response(rejected int64, message string) *coltracepb.ExportTraceServiceResponse {
	return &coltracepb.ExportTraceServiceResponse{
		PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: message},
	}
}

func TestRejected(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply   proto.Message
		count   int64
		message string
	}{
		"full success":               {reply: &coltracepb.ExportTraceServiceResponse{}},
		"empty partial success":      {reply: response(0, "")},
		"warning":                    {reply: response(0, "slow down"), message: "slow down"},
		"rejected spans":             {reply: response(3, "too old"), count: 3, message: "too old"},
		"more than anybody can send": {reply: response(math.MaxInt64, ""), count: math.MaxInt64},
		"a negative count":           {reply: response(-1, "nonsense"), message: "nonsense"},
		"rejected log records": {
			reply: &collogspb.ExportLogsServiceResponse{PartialSuccess: &collogspb.ExportLogsPartialSuccess{RejectedLogRecords: 4, ErrorMessage: "no"}},
			count: 4, message: "no",
		},
		"rejected data points": {
			reply: &colmetricspb.ExportMetricsServiceResponse{PartialSuccess: &colmetricspb.ExportMetricsPartialSuccess{RejectedDataPoints: 5, ErrorMessage: "no"}},
			count: 5, message: "no",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			count, message, err := otlp.Rejected(marshal(test.reply))
			if err != nil || count != test.count || message != test.message {
				t.Errorf("got %d, %q, %v, want %d, %q", count, message, err, test.count, test.message)
			}
		})
	}
}

func TestRejectedRepairsTheMessage(t *testing.T) {
	t.Parallel()
	count, message, err := otlp.Rejected([]byte("\x0a\x06\x08\x03\x12\x02\xff!"))
	if err != nil || count != 3 || message != "\uFFFD!" {
		t.Errorf("got %d, %q, %v, want 3 and a repaired text", count, message, err)
	}
}

func TestRejectedRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	whole := marshal(response(300, "too old"))
	for name, reply := range map[string]string{
		"a page":                     "<html><body>502 Bad Gateway</body></html>",
		"a length without content":   "\x0a\x05",
		"a tag without value":        "\x08",
		"the field number zero":      "\x02\x00",
		"a truncated reply":          string(whole[:len(whole)-1]),
		"a truncated nested message": "\x0a\x02\x12\x05",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			count, message, err := otlp.Rejected([]byte(reply))
			if err == nil || count != 0 || message != "" {
				t.Errorf("got %d, %q, %v, want an error", count, message, err)
			}
		})
	}
}

func FuzzRejected(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(marshal(response(300, "too old")))
	f.Add(append(marshal(response(300, "too old")), marshal(response(0, "again"))...))
	f.Add(marshal(response(-1, "")))
	f.Add([]byte("\x0a\x04\x12\x02\xff\xfe"))
	f.Add([]byte("<html><body>502 Bad Gateway</body></html>"))
	f.Add([]byte("\x0b\x0c"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		count, message, err := otlp.Rejected(reply)
		var want coltracepb.ExportTraceServiceResponse
		wantErr := proto.Unmarshal(reply, &want)
		if err != nil && wantErr == nil {
			t.Fatalf("got error %v, want none", err)
		}
		if wantErr != nil {
			return // the decoder refuses more, such as invalid text and numbers that no field can have
		}
		partial := want.GetPartialSuccess()
		if count != max(0, partial.GetRejectedSpans()) || message != partial.GetErrorMessage() {
			t.Errorf("got %d, %q, want %d, %q", count, message, partial.GetRejectedSpans(), partial.GetErrorMessage())
		}
	})
}
