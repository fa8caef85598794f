package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxBodyBytes bounds what is read of an answer, maxHeaderBytes of its header.
	maxBodyBytes   = 32 << 20
	maxHeaderBytes = 1 << 20

	// maxShownBytes is as much of a text of others as a finding has.
	maxShownBytes = 100
)

var errTooLong = errors.New("the answer does not end")

// newClient follows a redirect only to where the request went, because
// credentials would go along, and leaves no connection behind.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxHeaderBytes, DisableKeepAlives: true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			plaintext := via[0].URL.Scheme == "https" && r.URL.Scheme != "https"
			if r.URL.Host != via[0].URL.Host || plaintext || len(via) > 5 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// fetch gets url. An error is no answer, or one that is too long or breaks off;
// any status is an answer. No error, and no body of an answer other than 200,
// shows the credentials of url and header.
func fetch(ctx context.Context, client *http.Client, url string, header http.Header) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return answer{}, errors.New("not a URL")
	}
	secrets := secretsInURL(url)
	for key, values := range header {
		r.Header[key] = values
		secrets = append(secrets, secretsInHeader(values)...)
	}
	mask := masking(secrets)
	start := time.Now()
	response, err := client.Do(r)
	if err != nil {
		err = because(ctx, withoutURL(err))
		return answer{}, &noAnswerError{printable(mask.Replace(err.Error())), err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes+1))
	if err == nil && len(body) > maxBodyBytes {
		err = errTooLong
	}
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", because(ctx, err))
	}
	if response.StatusCode != http.StatusOK && len(secrets) > 0 {
		body = []byte(mask.Replace(string(body)))
	}
	return answer{response.StatusCode, response.Header, body, time.Since(start)}, nil
}

// noAnswerError shows its cause without what is secret or long.
type noAnswerError struct {
	text  string
	cause error
}

func (e *noAnswerError) Error() string { return "no answer: " + e.text }
func (e *noAnswerError) Unwrap() error { return e.cause }

// because returns why something failed: err, unless that is so because ctx
// ended.
func because(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.Canceled):
		return errors.New("interrupted")
	case cause != nil:
		return cause
	}
	return err
}

// withoutURL takes off what net/http puts before an error, which has the URL.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// shown returns a URL without its credentials and query, for people to read.
func shown(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// join appends a path to the URL where an API begins.
func join(base, path string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	path, u.RawQuery, _ = strings.Cut(path, "?")
	return u.JoinPath(path).String()
}

// printable makes a text of others fit for a message: on one line, without
// control characters, and cut at 100 bytes.
func printable(text string) string {
	most := min(len(text), 4*maxShownBytes) // the rest is never shown
	line := oneLine(text[:most])
	if len(line) <= maxShownBytes && most == len(text) {
		return line
	}
	end := min(len(line), maxShownBytes-len("…"))
	for end > 0 && end < len(line) && !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end] + "…"
}

// oneLine takes control characters off, and what is not UTF-8.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, "")))
}
