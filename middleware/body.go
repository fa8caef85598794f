package middleware

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// responseBody is the body of a response, whose end is that of the call. It
// may be read and closed at the same time.
type responseBody struct {
	io.ReadCloser

	call *call
	read atomic.Int64
}

// Read implements [io.Reader].
func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Add(int64(n))
	switch err {
	case nil:
	case io.EOF:
		b.call.end(nil)
	default:
		b.call.end(err)
	}
	return n, err
}

// Close implements [io.Closer].
func (b *responseBody) Close() error {
	b.call.end(nil) // first, because the other may block
	return b.ReadCloser.Close()
}

// upgradedBody is the body of a response that one may also write to, as after
// an upgrade of the connection.
type upgradedBody struct {
	*responseBody

	writer io.Writer
}

// Write implements [io.Writer].
func (b *upgradedBody) Write(p []byte) (int, error) {
	n, err := b.writer.Write(p)
	if err != nil {
		b.call.end(err)
	}
	return n, err
}

// CloseWrite closes the direction of writing, where the connection can do that,
// as the body of [http.Transport] does.
func (b *upgradedBody) CloseWrite() error {
	if w, ok := b.writer.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return fmt.Errorf("CloseWrite: %w", http.ErrNotSupported)
}

// countRequestBody has the body counted where its length is not known. A body
// of known length stays as it is, with all that [http.Transport] knows of its
// type.
func (c *call) countRequestBody(out *http.Request) {
	unknown := out.Body != nil && out.Body != http.NoBody && out.ContentLength <= 0
	if !unknown || c.transport.cfg.Disable&RequestBodySize != 0 {
		return
	}
	out.Body = c.counted(out.Body)
	if again := out.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil || body == nil || body == http.NoBody {
				return body, err
			}
			return c.counted(body), nil
		}
	}
}

// counted starts counting anew: what an attempt before this one sent was not
// the request that is answered.
func (c *call) counted(body io.ReadCloser) io.ReadCloser {
	b := &countedBody{ReadCloser: body}
	c.sent.Store(b)
	return b
}

// requestSize returns the size of the body, or false where there is none.
func (c *call) requestSize() (int64, bool) {
	if sent := c.sent.Load(); sent != nil {
		return sent.bytes.Load(), true
	}
	return c.original.ContentLength, c.original.Body != nil && c.original.Body != http.NoBody
}
