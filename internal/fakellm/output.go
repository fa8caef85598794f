package fakellm

import (
	"compress/gzip"
	"net/http"
	"sync"
)

// output writes a body so that each part can be read at once.
type output struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	gzip       *gzip.Writer // nil when not compressed
	gzips      *sync.Pool   // where it goes back to
	split      int
	bytes      int64
}

func newOutput(w http.ResponseWriter, gzips *sync.Pool, split int) *output {
	o := &output{w: w, controller: http.NewResponseController(w), gzips: gzips, split: split}
	if gzips == nil {
		return o
	}
	if used, ok := gzips.Get().(*gzip.Writer); ok {
		used.Reset(o)
		o.gzip = used
	} else {
		o.gzip = gzip.NewWriter(o)
	}
	return o
}

func (o *output) free() {
	if o.gzip != nil {
		o.gzips.Put(o.gzip)
	}
}

// send is false if the client is gone.
func (o *output) send(part []byte) bool {
	if o.gzip == nil {
		_, err := o.Write(part)
		return err == nil && o.flush()
	}
	if _, err := o.gzip.Write(part); err != nil {
		return false
	}
	return o.gzip.Flush() == nil && o.flush()
}

// close ends the compression.
func (o *output) close() bool { return o.gzip == nil || o.gzip.Close() == nil }

func (o *output) flush() bool { return o.controller.Flush() == nil }

// Write sends bytes as they go over the wire, in pieces if asked for.
func (o *output) Write(wire []byte) (int, error) {
	sent := 0
	for o.split > 0 && len(wire)-sent > o.split {
		n, err := o.w.Write(wire[sent : sent+o.split])
		sent, o.bytes = sent+n, o.bytes+int64(n)
		if err != nil {
			return sent, err
		}
		if err := o.controller.Flush(); err != nil {
			return sent, err
		}
	}
	n, err := o.w.Write(wire[sent:])
	o.bytes += int64(n)
	return sent + n, err
}
