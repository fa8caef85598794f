package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/internal/telemetry"
)

func TestTransportPassesBodiesOn(t *testing.T) {
	t.Parallel()
	const text = "0123456789"
	tests := map[string]struct {
		body   func() io.Reader
		change func(*http.Request)
		want   string
	}{
		"no body":                   {func() io.Reader { return nil }, nil, ""},
		"http.NoBody":               {func() io.Reader { return http.NoBody }, nil, ""},
		"a known length":            {func() io.Reader { return strings.NewReader(text) }, nil, text},
		"an unknown length":         {func() io.Reader { return io.MultiReader(strings.NewReader(text)) }, nil, text},
		"a byte at a time":          {func() io.Reader { return iotest.OneByteReader(strings.NewReader(text)) }, nil, text},
		"an empty body":             {func() io.Reader { return io.MultiReader() }, nil, ""},
		"Expect: 100-continue":      {func() io.Reader { return strings.NewReader(text) }, clientExpect, text},
		"trailers known at the end": {func() io.Reader { return io.MultiReader(strings.NewReader(text)) }, clientTrailers, text},
		"a lower-case method":       {func() io.Reader { return strings.NewReader(text) }, func(r *http.Request) { r.Method = "post" }, text},
	}
	for name, tt := range tests {
		for way, sdk := range newClientSDKs() {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				u, _ := clientServer(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(w, r.Body)
					if _, announced := r.Trailer["Checksum"]; announced && r.Trailer.Get("Checksum") != "7" {
						t.Errorf("trailers are %v", r.Trailer)
					}
				})
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u, tt.body())
				if err != nil {
					t.Fatal(err)
				}
				if tt.change != nil {
					tt.change(r)
				}
				response, err := sdk.client(t, nil).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if got, err := io.ReadAll(response.Body); string(got) != tt.want || err != nil {
					t.Errorf("the server got %q, %v, want %q", got, err, tt.want)
				}
				for _, name := range []string{telemetry.ClientRequestBodySize, telemetry.ClientResponseBodySize} {
					sizes := sdk.histogram(t, name)
					want := 1
					if name == telemetry.ClientRequestBodySize && (r.Body == nil || r.Body == http.NoBody) {
						want = 0
					}
					if len(sizes) != want {
						t.Errorf("%s is %v, want %d series", name, sizes, want)
					}
					for _, got := range sizes {
						if want := map[int]string{0: "1 of 0 bytes", 10: "1 of 10 bytes"}[len(tt.want)]; got != want {
							t.Errorf("%s is %s, want %s", name, got, want)
						}
					}
				}
			})
		}
	}
}

func clientExpect(r *http.Request) { r.Header.Set("Expect", "100-continue") }

// clientTrailers sets a trailer that is known when the body was read.
func clientTrailers(r *http.Request) {
	r.Trailer = http.Header{"Checksum": nil}
	r.Body = io.NopCloser(io.MultiReader(r.Body, clientAtEnd(func() { r.Trailer.Set("Checksum", "7") })))
}

// clientAtEnd is an empty reader that calls the function.
type clientAtEnd func()

func (f clientAtEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func TestTransportCountsTheAttemptThatWasAnswered(t *testing.T) {
	t.Parallel()
	sdk := newClientSDK()
	var got []string
	client := sdk.client(t, clientBase(func(r *http.Request) (*http.Response, error) {
		first := make([]byte, 4)
		if _, err := io.ReadFull(r.Body, first); err != nil {
			return nil, err
		}
		again, err := r.GetBody() // as http.Transport does after the connection was lost
		if err != nil {
			return nil, err
		}
		second, err := io.ReadAll(again)
		got = append(got, string(first), string(second))
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, err
	}))
	const text = "some text"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://api.example.com", io.MultiReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if diff := cmp.Diff([]string{text[:4], text}, got); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	for _, size := range sdk.histogram(t, telemetry.ClientRequestBodySize) {
		if want := "1 of 9 bytes"; size != want {
			t.Errorf("size is %s, want %s", size, want)
		}
	}
}

func TestTransportReportsErrorsOfGetBody(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	client := newClientSDK().client(t, clientBase(func(r *http.Request) (*http.Response, error) {
		_, err := r.GetBody()
		return nil, err
	}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://api.example.com", io.MultiReader(strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = func() (io.ReadCloser, error) { return nil, gone }
	if _, err := client.Do(r); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestTransportDoesNotModifyTheRequest(t *testing.T) {
	t.Parallel()
	newRequest := func(ctx context.Context) *http.Request {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://user:secret@api.example.com:8080/a%2Fb?q=1#part", bytes.NewReader([]byte("text")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Accept": {"a", "b"}, "Traceparent": {"mine"}, "Empty": nil}
		r.Trailer = http.Header{"Checksum": nil}
		r.TransferEncoding = []string{"chunked"}
		r.Host = "other.example.com"
		r.Form = url.Values{"q": {"1"}}
		return r
	}
	for way, sdk := range newClientSDKs() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			original := newRequest(t.Context())
			var sent *http.Request
			response, err := sdk.client(t, clientBase(func(r *http.Request) (*http.Response, error) {
				sent = r
				return &http.Response{StatusCode: http.StatusOK}, nil
			})).Transport.RoundTrip(original)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			same := cmp.Options{
				cmpopts.IgnoreUnexported(http.Request{}), cmpopts.IgnoreFields(http.Request{}, "Body", "GetBody"),
				cmp.AllowUnexported(url.Userinfo{}),
			}
			if diff := cmp.Diff(newRequest(t.Context()), original, same); diff != "" {
				t.Errorf("the original changed (-before +after):\n%s", diff)
			}
			if original.Context() != t.Context() {
				t.Error("the context of the original changed")
			}
			if sent.Header.Get("Traceparent") == "mine" {
				t.Error("the caller's traceparent was not replaced")
			}
			sent.Header = original.Header
			if diff := cmp.Diff(original, sent, same); diff != "" {
				t.Errorf("sent something else (-original +sent):\n%s", diff)
			}
			if sent.Body != original.Body {
				t.Errorf("sent a %T as body of a known length", sent.Body)
			}
		})
	}
}

func TestTransportSurvivesOddRequests(t *testing.T) {
	t.Parallel()
	requests := map[string]*http.Request{
		"no headers":       {Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "api.example.com"}},
		"no URL":           {Method: http.MethodGet, Header: http.Header{}},
		"nothing":          {},
		"no method":        {URL: &url.URL{Scheme: "http", Host: "api.example.com"}, Header: http.Header{}},
		"no host":          {URL: &url.URL{Scheme: "http"}, Header: http.Header{}},
		"an opaque URL":    {URL: &url.URL{Scheme: "http", Opaque: "//a/b?c=secret"}, Header: http.Header{}},
		"an odd scheme":    {URL: &url.URL{Scheme: "\xff", Host: "a"}, Header: http.Header{}},
		"a port too large": {URL: &url.URL{Scheme: "http", Host: "a:123456"}, Header: http.Header{}},
		"an odd method":    {Method: "\xff\xfe", URL: &url.URL{Scheme: "http", Host: "a"}, Header: http.Header{}},
	}
	for name, r := range requests {
		for way, sdk := range newClientSDKs() {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				client := sdk.client(t, clientBase(func(sent *http.Request) (*http.Response, error) {
					if sent.URL != r.URL || sent.Method != r.Method {
						t.Errorf("sent %q to %v", sent.Method, sent.URL)
					}
					return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
				}))
				response, err := client.Transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				clientCheckUTF8(t, sdk)
			})
		}
	}
}
