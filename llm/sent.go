package llm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

const (
	// maxAhead is how much of a request is read before it is sent, to find
	// the model in it.
	maxAhead = 64 << 10
	// maxIncludeBody is that for a request that may have to be changed.
	maxIncludeBody = 8 << 20
)

// sentBody is a request's body that is looked into as it is read.
type sentBody struct {
	io.ReadCloser

	request    *request
	generation int
	ahead      []byte // was read and looked into already
	err        error  // what reading it ended with
	closed     atomic.Bool
}

// Read implements [io.Reader].
func (b *sentBody) Read(p []byte) (int, error) {
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		b.request.sent(len(b.ahead) == 0, b.generation)
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.request.look(p[:n], b.generation)
	b.note(err)
	return n, err
}

// note tells failures of the caller from the end, and from what follows when
// base does not want more.
func (b *sentBody) note(err error) {
	if err != nil && !errors.Is(err, io.EOF) && !b.closed.Load() {
		b.request.fail(b.generation)
	}
}

// Close implements [io.Closer].
func (b *sentBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// attach has the body of out looked into. It reads ahead, up to a limit, until
// the model is known, or all of it if whole. A body that base asks for once
// more starts anew. It returns nil when there is no body.
func (r *request) attach(out *http.Request, limit int, whole bool) *sentBody {
	if out.Body == nil || out.Body == http.NoBody {
		return nil
	}
	b := &sentBody{ReadCloser: out.Body, request: r, generation: r.generation}
	b.readAhead(out, limit, whole)
	out.Body = b
	if again := out.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil || body == nil {
				return body, err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			return &sentBody{ReadCloser: body, request: r, generation: r.reset()}, nil
		}
	}
	return b
}

// readAhead gives up when the context ends.
func (b *sentBody) readAhead(out *http.Request, limit int, whole bool) {
	if out.GetBody == nil { // it is not in memory, and may block
		stop := context.AfterFunc(out.Context(), func() { _ = b.ReadCloser.Close() })
		defer stop()
	}
	size := min(limit, 4<<10)
	if length := out.ContentLength; length > 0 {
		size = int(min(int64(limit), length))
	}
	read := make([]byte, 0, size)
	for b.err == nil && len(read) < limit && (whole || b.request.facts.model == "") {
		if len(read) == cap(read) {
			read = append(read, 0)[:len(read)]
		}
		n, err := b.ReadCloser.Read(read[len(read):min(cap(read), limit)])
		b.request.look(read[len(read):len(read)+n], b.generation)
		read, b.err = read[:len(read)+n], err
		if b.err == nil && len(read) > 0 && int64(len(read)) == out.ContentLength { // 0 may be an unknown length
			b.err = io.EOF
		}
	}
	b.ahead = read
	b.request.sent(len(read) == 0, b.generation)
	if b.all() {
		return
	}
	b.note(b.err)
	if b.err != nil && out.Context().Err() != nil {
		b.err = context.Cause(out.Context())
	}
}

// all reports whether all of the body was read ahead.
func (b *sentBody) all() bool { return errors.Is(b.err, io.EOF) }

// replace has something else sent than what was read ahead, which was all.
func (b *sentBody) replace(out *http.Request, content []byte) {
	b.ahead = content
	out.GetBody = func() (io.ReadCloser, error) {
		return &sentBody{ReadCloser: http.NoBody, request: b.request, generation: b.request.resend(), ahead: content, err: io.EOF}, nil
	}
	if out.ContentLength >= 0 {
		out.ContentLength = int64(len(content))
		if out.Header.Get("Content-Length") != "" {
			out.Header = out.Header.Clone()
			out.Header.Del("Content-Length") // net/http writes that of the field
		}
	}
}
