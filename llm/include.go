package llm

import (
	"bytes"
	"hash/maphash"
	"io"
	"math"
	"net/http"

	"github.com/otelmon/toolkit/internal/jsonscan"
	"github.com/otelmon/toolkit/internal/sse"
)

// maxIncludeBody bounds the requests that are read as a whole before they are
// sent. Longer ones are sent as they are.
const maxIncludeBody = 8 << 20

// includeUsage has out ask for the usage of its stream, and reports whether it
// did: not where the client does so itself, nor where there is no stream.
func includeUsage(out *http.Request) bool {
	if out.Body == nil || out.Body == http.NoBody || out.ContentLength > maxIncludeBody || out.Header.Get("Content-Encoding") != "" {
		return false
	}
	original := out.Body
	read, err := io.ReadAll(io.LimitReader(original, maxIncludeBody+1))
	if err != nil || len(read) > maxIncludeBody {
		out.Body = &joinedBody{io.MultiReader(bytes.NewReader(read), &failing{original, err}), original}
		return false
	}
	asking, changed := withUsage(read)
	setBody(out, asking, original)
	return changed
}

func setBody(out *http.Request, content []byte, original io.Closer) {
	out.Body = &joinedBody{bytes.NewReader(content), original}
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	if out.ContentLength >= 0 {
		out.ContentLength = int64(len(content))
		if out.Header.Get("Content-Length") != "" {
			out.Header = out.Header.Clone()
			out.Header.Del("Content-Length") // net/http writes that of the field
		}
	}
}

// joinedBody reads from one and closes the other.
type joinedBody struct {
	io.Reader
	io.Closer
}

// failing goes on with what is left to read, or with the error that ended it.
type failing struct {
	io.Reader

	err error
}

// Read implements [io.Reader].
func (f *failing) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Reader.Read(p)
}

// withUsage returns the body with stream_options.include_usage set, and whether
// that is a change.
func withUsage(body []byte) ([]byte, bool) {
	r := newRequest(maphash.MakeSeed(), 0, func(string) {})
	r.write(body)
	f := r.read()
	if f.hash == 0 || !f.stream || f.includeUsage {
		return body, false
	}
	const option = `"include_usage":true`
	switch {
	case f.inclusion.kind == jsonscan.False:
		return replaced(body, f.inclusion.offset, len("false"), "true"), true
	case f.inclusion.kind == jsonscan.Null:
		return replaced(body, f.inclusion.offset, len("null"), "true"), true
	case f.inclusion.kind != 0:
		return body, false
	case f.options.kind == jsonscan.Null:
		return replaced(body, f.options.offset, len("null"), "{"+option+"}"), true
	case f.options.kind == jsonscan.Object:
		return replaced(body, f.options.offset+1, 0, option+comma(body[f.options.offset+1:])), true
	case f.options.kind != 0:
		return body, false
	}
	brace := bytes.IndexByte(body, '{') + 1
	return replaced(body, int64(brace), 0, `"stream_options":{`+option+`}`+comma(body[brace:])), true
}

// comma returns what separates a new first member from those of the rest.
func comma(rest []byte) string {
	if rest = bytes.TrimLeft(rest, " \t\r\n"); len(rest) > 0 && rest[0] == '}' {
		return ""
	}
	return ","
}

func replaced(body []byte, at int64, length int, by string) []byte {
	result := make([]byte, 0, len(body)+len(by))
	result = append(result, body[:at]...)
	result = append(result, by...)
	return append(result, body[at+int64(length):]...)
}

// filteredBody is the body of a stream without the event that has nothing but
// the usage. Events are passed on with each read, as they come; after the
// first that says why a choice finished, each is held back until it is
// complete, because any may be the one.
type filteredBody struct {
	body

	scratch []byte
	held    []byte // of the stream, from the offset on
	offset  int64
	ready   int  // bytes of held that may be passed on
	afterCR bool // what was removed ends with CR, to which an LF may belong
	err     error
}

// Read implements [io.Reader].
func (b *filteredBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for b.ready == 0 && b.err == nil {
		b.fill(len(p))
	}
	if b.ready == 0 {
		return 0, b.err
	}
	n := copy(p, b.held[:b.ready])
	b.held, b.ready, b.offset = b.held[n:], b.ready-n, b.offset+int64(n)
	return n, nil
}

func (b *filteredBody) fill(size int) {
	if size = min(size, 32<<10); cap(b.scratch) < size {
		b.scratch = make([]byte, size)
	}
	n, err := b.body.Read(b.scratch[:size])
	read := b.scratch[:n]
	if b.afterCR && n > 0 && read[0] == '\n' {
		read, b.offset = read[1:], b.offset+1
	}
	b.afterCR = b.afterCR && n == 0
	b.held = append(b.held, read...)
	b.err = err
	hidden, until := b.call.hidden()
	for _, e := range hidden {
		b.remove(e)
	}
	b.ready = len(b.held)
	complete := until - b.offset // negative: the beginning of the event has been passed on
	if err == nil && complete >= 0 && (complete > 0 || len(b.held) <= maxEvent) {
		b.ready = int(min(complete, int64(len(b.held))))
	}
}

// remove takes an event out of what is held. The offset of what follows stays
// right by moving the offset of all.
func (b *filteredBody) remove(e span) {
	from, to := int(e.start-b.offset), int(e.end-b.offset)
	if from < 0 || to > len(b.held) { // its beginning has been passed on
		return
	}
	b.afterCR = b.held[to-1] == '\r'
	b.held = append(b.held[:from], b.held[to:]...)
	b.offset += int64(to - from)
}

// span is where an event is in the stream.
type span struct{ start, end int64 }

// hide notes an event that is to be hidden, if there is nothing but usage in it.
func (a *answer) hide(e sse.Event) {
	if a.hides && a.eventUsage && !a.eventChoices {
		a.hidden = append(a.hidden, span{e.Start, e.End})
	}
}

// hidden returns the events to hide that came since the last time, and up to
// where the stream may be passed on.
func (c *call) hidden() (events []span, until int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answer
	events, a.hidden = a.hidden, nil
	if len(a.finish) == 0 {
		return events, math.MaxInt64
	}
	return events, a.events.Pending()
}
