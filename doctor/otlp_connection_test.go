package doctor_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/otelmon/toolkit/doctor"
)

func TestOTLPConnection(t *testing.T) {
	runEndpointTests(t, map[string]endpointTest{
		"nobody listens": {
			variables: func(t *testing.T) variables { return grpcTo(nobody(t)) },
			want:      found{check: "connection", level: doctor.Failure, message: []string{"nothing listens", "where traces, metrics and logs go", "refused"}, advice: []string{"Start a Collector", "OTEL_TRACES_EXPORTER=none"}},
		},
		"somebody listens on the other port of OTLP": {
			variables: func(t *testing.T) variables {
				listener(t, "127.91.17.3:4318", silence)
				return grpcTo("127.91.17.3:4317")
			},
			want: found{check: "connection", level: doctor.Failure, message: []string{"127.91.17.3:4317"}, advice: []string{"http://127.91.17.3:4318", "http/protobuf"}},
		},
		"a name that does not resolve": {
			variables: func(*testing.T) variables { return grpcTo("collector.invalid:4317") },
			want:      found{check: "name", level: doctor.Failure, message: []string{"collector.invalid does not resolve"}, advice: []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		},
		"a server that says nothing": {
			variables: func(t *testing.T) variables { return grpcTo(listener(t, "127.0.0.1:0", silence)) },
			want:      found{check: "answer", level: doctor.Failure, advice: []string{"does not answer"}},
			timeout:   time.Second,
		},
		"a server that says nothing over HTTP": {
			variables: func(t *testing.T) variables { return httpTo(listener(t, "127.0.0.1:0", silence)) },
			want:      found{check: "answer", level: doctor.Failure},
			timeout:   time.Second,
		},
		"a server that closes connections": {
			variables: func(t *testing.T) variables { return grpcTo(listener(t, "127.0.0.1:0", func(net.Conn) {})) },
			want:      found{check: "answer", level: doctor.Failure},
			timeout:   time.Second,
		},
		"a server that does not end": {
			variables: func(t *testing.T) variables {
				return httpTo(plaintext(t, func(w http.ResponseWriter, r *http.Request) {
					for r.Context().Err() == nil {
						_, _ = w.Write(make([]byte, 1<<10))
					}
				}))
			},
			want:    found{check: "protocol", level: doctor.Failure},
			timeout: time.Second,
		},
		"a server that does not end its header": {
			variables: func(t *testing.T) variables {
				return httpTo(listener(t, "127.0.0.1:0", func(conn net.Conn) {
					line := []byte("HTTP/1.1 200 OK\r\nx: ")
					for {
						if _, err := conn.Write(line); err != nil {
							return
						}
						line = []byte("x")
					}
				}))
			},
			want:    found{check: "answer", level: doctor.Failure},
			timeout: time.Second,
		},
		"a server that dribbles": {
			variables: func(t *testing.T) variables {
				return httpTo(listener(t, "127.0.0.1:0", func(conn net.Conn) {
					for line := "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"; ; line = "x" {
						if _, err := io.WriteString(conn, line); err != nil {
							return
						}
						<-time.After(10 * time.Millisecond)
					}
				}))
			},
			want:    found{check: "answer", level: doctor.Failure, advice: []string{"load"}},
			timeout: time.Second,
		},
		"a server that speaks something else": {
			variables: func(t *testing.T) variables {
				return grpcTo(listener(t, "127.0.0.1:0", func(conn net.Conn) {
					_, _ = io.WriteString(conn, "220 mail.example.org ESMTP\r\n")
					silence(conn)
				}))
			},
			want:    found{check: "answer", level: doctor.Failure},
			timeout: time.Second,
		},
	})
}
