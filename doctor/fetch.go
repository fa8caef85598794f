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

// maxBodyBytes bounds what is read of an answer.
const maxBodyBytes = 32 << 20

var errTooLong = errors.New("the answer does not end")

// newClient follows a redirect only to where the request went, because
// credentials would go along.
func newClient() *http.Client {
	return &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Host != via[0].URL.Host || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// fetch gets url. An error is no answer, or one that is too long or breaks off;
// any status is an answer. No error shows the credentials of url.
func fetch(ctx context.Context, client *http.Client, url string, header http.Header) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return answer{}, errors.New("not a URL")
	}
	for key, values := range header {
		r.Header[key] = values
	}
	start := time.Now()
	response, err := client.Do(r)
	if err != nil {
		return answer{}, fmt.Errorf("no answer: %w", withoutURL(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes+1))
	if err == nil && len(body) > maxBodyBytes {
		err = errTooLong
	}
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	return answer{response.StatusCode, response.Header, body, time.Since(start)}, nil
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

// maxShownBytes is as much of a text of others as a finding has.
const maxShownBytes = 100

// printable makes a text of others fit for one line of a terminal: without
// control characters, and cut at 100 bytes.
func printable(text string) string {
	cut := text[:min(len(text), 4*maxShownBytes)] // the rest is never shown
	line := strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(cut, "")))
	if len(line) <= maxShownBytes && len(cut) == len(text) {
		return line
	}
	end := min(len(line), maxShownBytes-len("…"))
	for end > 0 && end < len(line) && !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end] + "…"
}
