package llm

import (
	"hash/maphash"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/otelmon/toolkit/internal/jsonscan"
)

// request is what is learnt of a request's body while it is sent.
type request struct {
	seed       maphash.Seed
	maxContent int
	onModel    func(model string) // once it is known

	mu      sync.Mutex
	scanner jsonscan.Scanner
	hash    maphash.Hash
	facts   facts
}

// facts are what a request's body says, as far as it was read.
type facts struct {
	model                string
	stream, includeUsage bool
	maxTokens            int64   // 0: not told
	temperature, topP    float64 // negative: not told
	hash                 uint64  // of the whole body; 0 until all of it was sent
	content              []byte
	options, inclusion   place // of stream_options, and of include_usage in it
}

// place is where a value is in the body.
type place struct {
	kind   jsonscan.Kind // 0: nowhere
	offset int64
}

func newRequest(seed maphash.Seed, maxContent int, onModel func(string)) *request {
	r := &request{seed: seed, maxContent: maxContent, onModel: onModel}
	r.scanner.Visit = r.visit
	r.scanner.MaxText = maxName
	r.reset()
	return r
}

func (r *request) reset() {
	r.scanner.Reset()
	r.hash.SetSeed(r.seed)
	r.facts = facts{model: r.facts.model, temperature: -1, topP: -1}
}

// attach has the body of out read by the way. A body that base asks for once
// more starts anew.
func (r *request) attach(out *http.Request) {
	if out.Body == nil || out.Body == http.NoBody {
		return
	}
	out.Body = &sentBody{out.Body, r}
	if again := out.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil || body == nil {
				return body, err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.reset()
			return &sentBody{body, r}, nil
		}
	}
}

// sentBody is a request's body that is looked into as it is read.
type sentBody struct {
	io.ReadCloser

	request *request
}

// Read implements [io.Reader].
func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.request.write(p[:n])
	}
	return n, err
}

func (r *request) write(p []byte) {
	if model := r.look(p); model != "" {
		r.onModel(model)
	}
}

// look returns the model when it was found in p.
func (r *request) look(p []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.facts.model
	_, _ = r.hash.Write(p) // never fails
	_, _ = r.scanner.Write(p)
	if room := r.maxContent - len(r.facts.content); room > 0 {
		r.facts.content = append(r.facts.content, p[:min(room, len(p))]...)
	}
	if before != "" {
		return ""
	}
	return r.facts.model
}

// read returns what is known by now.
func (r *request) read() facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.facts
	if r.scanner.Documents() == 1 && !r.scanner.Malformed() {
		known.hash = r.hash.Sum64()
	}
	return known
}

func (r *request) visit(path []byte, v jsonscan.Value) {
	f := &r.facts
	switch string(path) {
	case "model":
		if v.Kind == jsonscan.String && v.Size <= maxName && f.model == "" {
			f.model = v.String()
		}
	case "stream":
		f.stream = v.Kind == jsonscan.True
	case "stream_options":
		f.options, f.inclusion, f.includeUsage = place{v.Kind, v.Offset}, place{}, false // the last one counts
	case "stream_options.include_usage":
		f.inclusion = place{v.Kind, v.Offset}
		f.includeUsage = v.Kind == jsonscan.True
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		if n, ok := v.Int(); ok && v.Kind == jsonscan.Number {
			f.maxTokens = n
		}
	case "temperature":
		f.temperature = number(v)
	case "top_p":
		f.topP = number(v)
	}
}

// number returns a value that is not negative, or -1.
func number(v jsonscan.Value) float64 {
	n, err := strconv.ParseFloat(v.String(), 64)
	if v.Kind != jsonscan.Number || err != nil || n < 0 {
		return -1
	}
	return n
}
