package llm_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
)

func TestTheModelIsKnownThoughNothingWasSent(t *testing.T) {
	t.Parallel()
	after := func(size int) string {
		return `{"messages":["` + strings.Repeat("a", size) + `"],"model":"deepseek-flash"}`
	}
	for name, body := range map[string]string{
		"of a model that comes first":             objectBody,
		"of a model that comes after the prompt":  after(100),
		"of a model that comes after a long one":  after(64<<10 - 100),
		"but not of one that comes beyond 64 KiB": after(64 << 10),
	} {
		want := "deepseek-flash"
		if strings.HasPrefix(name, "but not") {
			want = ""
		}
		for failure, dial := range map[string]error{
			"the connection was refused": &net.OpError{Op: "dial", Err: errors.New("connection refused")},
			"the name is unknown":        &net.DNSError{Err: "no such host", Name: "api.example.com", IsNotFound: true},
		} {
			for length, form := range map[string]func(io.Reader) io.Reader{
				"":                    func(r io.Reader) io.Reader { return r },
				", of unknown length": func(r io.Reader) io.Reader { return io.MultiReader(r) },
			} {
				t.Run(failure+", "+name+length, func(t *testing.T) {
					t.Parallel()
					s := newSDK()
					s.Models = []string{"deepseek-flash"}
					var active map[string]float64
					base := dialing(func(context.Context) (net.Conn, error) {
						active = s.sums(t, telemetry.LLMActiveRequests, telemetry.GenAIRequestModel)
						return nil, dial
					})
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1"+chat, form(strings.NewReader(body)))
					if err != nil {
						t.Fatal(err)
					}
					if response, err := s.over(base).Do(r); err == nil {
						response.Body.Close()
						t.Error("no error")
					}
					got := []string{
						only(t, active),
						only(t, s.sums(t, telemetry.LLMAttempts, telemetry.GenAIRequestModel)),
						only(t, s.sums(t, telemetry.GenAIOperationDuration, telemetry.GenAIRequestModel)),
						spanNames(s)[0],
					}
					if diff := cmp.Diff([]string{want, want, want, strings.TrimSpace("chat " + want)}, got); diff != "" {
						t.Errorf("(-want +got)\n%s", diff)
					}
				})
			}
		}
	}
}

// A body may come from a connection or a pipe, and stop.
func TestABodyThatBlocksGivesUpWithTheContext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		begin    string
		includes bool
	}{
		"after nothing":                      {"", false},
		"after nothing, asking for usage":    {"", true},
		"before the model":                   {`{"messages":[`, false},
		"before the model, asking for usage": {`{"messages":[`, true},
		"after the model, asking for usage":  {objectBody[:30], true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				s.IncludeUsage = c.includes
				base := inMemory(t, fakellm.New(func(fakellm.Request) fakellm.Answer { return full() }))
				body, writer := io.Pipe()
				go func() { _, _ = io.WriteString(writer, c.begin) }()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1"+chat, body)
				if err != nil {
					t.Fatal(err)
				}
				response, err := s.over(base).Do(r)
				if err == nil {
					response.Body.Close()
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if got := s.seen(t); got.Missing != "" {
					t.Errorf("tokens are missing of what was not sent: %+v", got)
				}
			})
		})
	}
}

// Who writes nothing has not ended.
func TestABodyThatBeginsWithAnEmptyWrite(t *testing.T) {
	t.Parallel()
	s := newSDK()
	body, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "")
		_, _ = io.WriteString(writer, objectBody)
		_ = writer.Close()
	}()
	var arrived []byte
	client := s.over(roundTripper(func(r *http.Request) (*http.Response, error) {
		arrived, _ = io.ReadAll(r.Body)
		return answering(jsonType, strings.NewReader(message(`"content":"Hi"`)))(r)
	}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1"+chat, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, response, nil)
	response.Body.Close()
	if string(arrived) != objectBody || spanNames(s)[0] != "chat deepseek-flash" {
		t.Errorf("%q arrived, the span is %q", arrived, spanNames(s))
	}
}
