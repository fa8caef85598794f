package llm

import (
	"compress/gzip"
	"errors"
	"io"
	"iter"
)

// body is the body of an answer, which is looked into as it is read. It may be
// read and closed at the same time.
type body struct {
	io.ReadCloser

	call *call
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	b.call.reading.Add(1)
	n, err := b.ReadCloser.Read(p)
	b.call.reading.Add(-1)
	b.call.received(p[:n], err)
	return n, err
}

// Close implements [io.Closer].
func (b *body) Close() error {
	b.call.end(closed, nil) // first, because the other may block
	return b.ReadCloser.Close()
}

// maxInflated bounds what is decompressed of one answer.
const maxInflated = 256 << 20

// inflater decompresses gzip as its bytes come in. It is a coroutine, because
// the decompressor asks for its input, where here the input comes by itself.
type inflater struct {
	failed bool // it is not gzip, or too much

	in    []byte
	cut   bool // stopped before the end
	more  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

func newInflater(out func([]byte)) *inflater {
	i := &inflater{}
	i.more, i.stop = iter.Pull(func(yield func(struct{}) bool) {
		i.yield = yield
		i.inflate(out)
	})
	return i
}

// write has out called with what p decompresses to.
func (i *inflater) write(p []byte) {
	i.in = p
	i.more()
}

func (i *inflater) inflate(out func([]byte)) {
	reader, err := gzip.NewReader(source{i})
	if err != nil {
		i.failed = !i.cut
		return
	}
	buf := make([]byte, 16<<10)
	for total := 0; total < maxInflated; {
		n, err := reader.Read(buf)
		if total += n; n > 0 {
			out(buf[:n])
		}
		if err != nil {
			i.failed = !errors.Is(err, io.EOF) && !i.cut
			return
		}
	}
	i.failed = true
}

// source is what the decompressor reads from.
type source struct{ *inflater }

// Read implements [io.Reader]. It waits for more, until nothing follows.
func (s source) Read(p []byte) (int, error) {
	if !s.wait() {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

// ReadByte implements [io.ByteReader], without which there would be a buffer.
func (s source) ReadByte() (byte, error) {
	if !s.wait() {
		return 0, io.ErrUnexpectedEOF
	}
	b := s.in[0]
	s.in = s.in[1:]
	return b, nil
}

func (s source) wait() bool {
	for len(s.in) == 0 {
		if s.cut || !s.yield(struct{}{}) {
			s.cut = true
			return false
		}
	}
	return true
}
