package llm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/fakellm"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// bodyOf returns what the fake sends, and as what.
func bodyOf(t testing.TB, a fakellm.Answer, path, body string) (content []byte, header http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	r := newRequest(t, t.Context(), path, body)
	r.Header.Set("Accept-Encoding", "gzip")
	func() {
		defer func() { _ = recover() }() // a reset, where there is no connection
		fakellm.New(func(fakellm.Request) fakellm.Answer { return a }).ServeHTTP(w, r)
	}()
	return w.Body.Bytes(), w.Header()
}

// replay answers with the body and the header, in pieces of random sizes.
func replay(content []byte, header http.Header) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		response, err := answering(header.Get("Content-Type"), &pieces{content, rand.New(rand.NewPCG(1, 1))})(r)
		response.Header = header.Clone()
		return response, err
	}
}

// pieces is a reader that gives from 1 byte to 100 at a time.
type pieces struct {
	rest   []byte
	random *rand.Rand
}

// Read implements [io.Reader].
func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.random.IntN(100))], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// readWith reads all with a buffer of the size.
func readWith(body io.Reader, size int) ([]byte, error) {
	var all []byte
	buffer := make([]byte, size)
	for {
		n, err := body.Read(buffer)
		all = append(all, buffer[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return all, err
		}
	}
}

func TestAnswersPassByteForByte(t *testing.T) {
	t.Parallel()
	sizes := []int{1, 2, 7, 64, 4096}
	cuts := []fakellm.Cut{fakellm.CutNone, fakellm.CutEOF, fakellm.CutReset, fakellm.CutError, fakellm.CutMalformed, fakellm.CutHTML}
	for _, path := range []string{chat, text, embeddings, responses, messages} {
		for _, vendor := range []fakellm.Vendor{fakellm.DeepSeek, fakellm.OpenAI, fakellm.Anthropic} {
			for kind, body := range map[string]string{"stream": streamBody, "object": objectBody} {
				t.Run(fmt.Sprintf("%s from %s of %d", kind, path, vendor), func(t *testing.T) {
					t.Parallel()
					s := newSDK()
					for i, cut := range cuts {
						a := answer(func(a *fakellm.Answer) {
							a.Cut, a.CutAfter, a.Vendor, a.CRLF, a.Gzip, a.ToolCall = cut, i, vendor, i%2 == 1, i%3 == 1, "f"
						})
						content, header := bodyOf(t, a, path, body)
						for _, size := range sizes {
							compareBytes(t, s.over(replay(content, header)), path, body, size, content)
						}
					}
					if active := s.sums(t, telemetry.LLMActiveRequests)[""]; active != 0 {
						t.Errorf("%v calls are active", active)
					}
					if n := s.sums(t, telemetry.LLMAttempts)[""]; n != float64(len(cuts)*len(sizes)) {
						t.Errorf("%v calls were counted", n)
					}
				})
			}
		}
	}
}

// compareBytes reads the answer with a buffer of the size.
func compareBytes(t *testing.T, client *http.Client, path, body string, size int, want []byte) {
	t.Helper()
	response, err := client.Do(newRequest(t, t.Context(), "http://127.0.0.1"+path, body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := readWith(response.Body, size)
	if err != nil || !bytes.Equal(got, want) {
		same := 0
		for same < min(len(got), len(want)) && got[same] == want[same] {
			same++
		}
		t.Errorf("with a buffer of %d: %v, from byte %d on\n got %.300q\nwant %.300q", size, err, same, got[same:], want[same:])
	}
}

func TestLargeEventsPassAndAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, body string
	}{
		"of chat completions": {chat, streamBody}, "of text completions": {text, streamBody},
		"of responses": {responses, streamBody}, "of messages": {messages, streamBody},
		"as an object": {chat, objectBody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSDK()
			a := answer(func(a *fakellm.Answer) { a.Cut, a.CutAfter, a.LargeMiB = fakellm.CutLarge, 3, 10 })
			content, header := bodyOf(t, a, c.path, c.body)
			if len(content) < 10<<20 {
				t.Fatalf("only %d bytes", len(content))
			}
			base := roundTripper(func(r *http.Request) (*http.Response, error) {
				return answering(header.Get("Content-Type"), bytes.NewReader(content))(r)
			})
			compareBytes(t, s.over(base), c.path, c.body, 4096, content)
			if diff := cmp.Diff(seen{Outcome: "ok"}, s.seen(t)); diff != "" {
				t.Error(diff)
			}
			if tokens := s.sums(t, telemetry.LLMTokens)[""]; tokens != 214 {
				t.Errorf("%v tokens", tokens)
			}
		})
	}
}

// Not parallel: it measures what the process has allocated.
func TestAStreamOfOneLineIsNotKept(t *testing.T) {
	const size = 64 << 20
	s := newSDK()
	endless := io.MultiReader(strings.NewReader("data: "), io.LimitReader(letters{}, size))
	client := s.over(answering(eventStream, endless))
	response, err := client.Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, streamBody))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.Copy(io.Discard, response.Body)
	runtime.ReadMemStats(&after)
	if n != size+6 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20 {
		t.Errorf("%d bytes were allocated for a line of %d", allocated, size)
	}
	if diff := cmp.Diff(unknown("incomplete", "unexpected_eof", "incomplete"), s.seen(t)); diff != "" {
		t.Error(diff)
	}
}

// letters is an endless text.
type letters struct{}

// Read implements [io.Reader].
func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestErrorsOfTheBodyPass(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, body := range map[string]func(content io.Reader) io.Reader{
		"after the last byte": func(content io.Reader) io.Reader { return io.MultiReader(content, iotest.ErrReader(broken)) },
		"together with the last": func(content io.Reader) io.Reader {
			return iotest.DataErrReader(io.MultiReader(content, iotest.ErrReader(broken)))
		},
		"instead of the first byte": func(io.Reader) io.Reader { return iotest.ErrReader(broken) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			half := stream(textChunk)
			bare, bareErr := readWith(body(strings.NewReader(half)), 64)
			s := newSDK()
			response, err := s.over(answering(eventStream, body(strings.NewReader(half)))).Do(newRequest(t, t.Context(), "http://127.0.0.1"+chat, streamBody))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			got, gotErr := readWith(response.Body, 64)
			if !bytes.Equal(got, bare) || !errors.Is(gotErr, broken) || !errors.Is(bareErr, broken) {
				t.Errorf("got %q, %v, want %q, %v", got, gotErr, bare, bareErr)
			}
			want := seen{Outcome: "incomplete", ErrorType: telemetry.Other, Missing: "incomplete", Status: "*errors.errorString"}
			if diff := cmp.Diff(want, s.seen(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

var numbered = regexp.MustCompile(`4000-8000-[0-9a-f]{12}`) //nolint:gochecknoglobals // a constant

// visible is what a client can see of a response besides its body.
type visible struct {
	Status, Proto    string
	Header, Trailer  http.Header
	ContentLength    int64
	TransferEncoding []string
	Uncompressed     bool
	Body, URL        string
	TLS              bool
}

func visibleOf(t *testing.T, client *http.Client, r *http.Request) visible {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.Request != r && r.ProtoMajor == response.ProtoMajor { // HTTP/2 makes one of its own
		t.Errorf("the response is to %+v", response.Request)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	response.Header.Del("Date")
	return visible{
		response.Status, response.Proto, response.Header, response.Trailer, response.ContentLength,
		response.TransferEncoding, response.Uncompressed, string(content), response.Request.URL.String(), response.TLS != nil,
	}
}

func TestResponsesAreAsWithoutTheTransport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		http2    bool
		accept   string
		compress bool
	}{
		"over HTTP/1":                        {},
		"over HTTP/2":                        {http2: true},
		"that net/http decompresses":         {compress: true},
		"that the client decompresses":       {compress: true, accept: "gzip"},
		"over HTTP/2 that it decompresses":   {http2: true, compress: true},
		"where the client wants no encoding": {accept: "identity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := fakellm.New(func(fakellm.Request) fakellm.Answer { return answer(func(a *fakellm.Answer) { a.Gzip = c.compress }) })
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "X-Checksum")
				w.Header()["X-Several"] = []string{"a", "b"}
				w.WriteHeader(http.StatusEarlyHints)
				upstream.ServeHTTP(w, r)
				w.Header().Set("X-Checksum", "1")
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that nobody waits for
			server.EnableHTTP2 = c.http2
			server.StartTLS()
			t.Cleanup(server.Close)
			s := newSDK()
			for _, body := range []string{streamBody, objectBody} {
				ask := func() *http.Request {
					r := newRequest(t, t.Context(), server.URL+chat, body)
					if c.accept != "" {
						r.Header.Set("Accept-Encoding", c.accept)
					}
					return r
				}
				bare := visibleOf(t, server.Client(), ask())
				got := visibleOf(t, s.over(server.Client().Transport), ask())
				for _, v := range []*visible{&bare, &got} { // they end in the number of the request
					v.Header.Del("X-Ds-Trace-Id")
					v.Body = numbered.ReplaceAllString(v.Body, "")
				}
				if c.compress && c.accept != "" {
					bare.Body, got.Body = "", ""
				}
				if diff := cmp.Diff(bare, got); diff != "" {
					t.Errorf("(-without +with)\n%s", diff)
				}
			}
		})
	}
}
