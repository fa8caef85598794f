package llm

import (
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/otelmon/toolkit/internal/jsonscan"
)

// request is what is learnt of a request's body while it is sent.
type request struct {
	seed       maphash.Seed
	maxContent int
	onModel    func(model string) // once it is known, if not before

	failed atomic.Bool // reading the body failed, which is the caller's fault

	mu         sync.Mutex
	generation int
	unsent     bool // some of what was read is not sent yet
	scanner    jsonscan.Scanner
	hash       maphash.Hash
	facts      facts
}

// facts are what a request's body says, as far as it was read.
type facts struct {
	model                string
	stream, includeUsage bool
	maxTokens            int64   // 0: not told
	temperature, topP    float64 // negative: not told
	complete             bool    // all of the body was read
	hash                 uint64  // of the whole body; 0 until all of it was sent
	content              []byte
	options, inclusion   place // of stream_options, and of include_usage in it
}

// place is where a value is in the body.
type place struct {
	kind   jsonscan.Kind // 0: nowhere
	offset int64
}

func newRequest(seed maphash.Seed, maxContent int) *request {
	r := &request{seed: seed, maxContent: maxContent}
	r.scanner.Visit = r.visit
	r.scanner.MaxText = maxName
	r.reset()
	return r
}

// reset starts anew, as with a body that is sent once more. It returns the
// generation of what is to be looked at from now on.
func (r *request) reset() int {
	r.scanner.Reset()
	r.hash.SetSeed(r.seed)
	r.facts = facts{model: r.facts.model, temperature: -1, topP: -1}
	r.unsent = false
	r.generation++
	return r.generation
}

// look looks into what is sent next, unless it is of a body before the last.
func (r *request) look(p []byte, generation int) {
	r.mu.Lock()
	before := r.facts.model
	if generation == r.generation {
		_, _ = r.hash.Write(p) // never fails
		_, _ = r.scanner.Write(p)
		if room := r.maxContent - len(r.facts.content); room > 0 {
			r.facts.content = append(r.facts.content, p[:min(room, len(p))]...)
		}
	}
	found := r.facts.model
	r.mu.Unlock()
	if before == "" && found != "" && r.onModel != nil {
		r.onModel(found)
	}
}

// sent notes whether all was sent of what was read ahead, unless it is that of a
// body before the last.
func (r *request) sent(all bool, generation int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if generation == r.generation {
		r.unsent = !all
	}
}

// fail notes that the body could not be read, unless it is one before the last.
func (r *request) fail(generation int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if generation == r.generation {
		r.failed.Store(true)
	}
}

// resend returns the generation of a body that says the same as the last, and is
// sent in its place.
func (r *request) resend() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsent = true
	r.generation++
	return r.generation
}

// read returns what is known by now.
func (r *request) read() facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.facts
	known.complete = r.scanner.Documents() == 1 && !r.scanner.Malformed()
	if known.complete && !r.unsent {
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
