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
)

// Bounds of what is read of an answer: of a metrics page, which may have 200,000
// series, of an API, and of any header.
const (
	maxPageBytes   = 32 << 20
	maxAPIBytes    = 8 << 20
	maxHeaderBytes = 1 << 20
)

var (
	errTooLarge    = errors.New("the answer is too large")
	errInterrupted = errors.New("interrupted")
)

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

// fetch gets url. An error is no answer, or one that breaks off; any status is an
// answer. With errTooLarge there is as much of the body as is wanted at most, in
// bytes. No error, and no body of an answer other than 200, shows the credentials
// of url and header.
func fetch(ctx context.Context, client *http.Client, url string, header http.Header, most int64) (answer, error) {
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
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", because(ctx, err))
	}
	if response.StatusCode != http.StatusOK && len(secrets) > 0 {
		body = []byte(mask.Replace(string(body)))
	}
	if int64(len(body)) > most {
		body, err = body[:most], fmt.Errorf("%w: more than %d MiB", errTooLarge, most>>20)
	}
	return answer{response.StatusCode, response.Header, body, time.Since(start)}, err
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
		return errInterrupted
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

// credentialsAdvice says what to do when a URL's server wants others.
func credentialsAdvice(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		return "The user and the password in the URL are not accepted: correct them."
	}
	return "Give the user and the password in the URL, as http://USER:PASSWORD@HOST."
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
