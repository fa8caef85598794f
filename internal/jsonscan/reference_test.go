package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/otelmon/toolkit/internal/jsonscan"
)

// visit is what is told of a value.
type visit struct {
	Path   string
	Kind   jsonscan.Kind
	Raw    string // Value.Text
	Text   string // Value.String()
	Size   int64
	Offset int64
}

// result is what is told of an input.
type result struct {
	Visits    []visit
	Documents int
	Malformed bool
	Blank     bool
}

// record makes the scanner remember what it visits.
func record(s *jsonscan.Scanner) *[]visit {
	visits := new([]visit)
	s.Visit = func(path []byte, v jsonscan.Value) {
		*visits = append(*visits, visit{string(path), v.Kind, string(v.Text), v.String(), v.Size, v.Offset})
	}
	return visits
}

// scan writes the pieces and ends.
func scan(maxText int, pieces ...[]byte) result {
	s := jsonscan.Scanner{MaxText: maxText}
	visits := record(&s)
	for _, piece := range pieces {
		own := bytes.Clone(piece)
		_, _ = s.Write(own)
		clear(own) // nothing of it may be used later
	}
	s.End()
	return result{*visits, s.Documents(), s.Malformed(), s.Blank()}
}

// chunks cuts the input into pieces of a size.
func chunks(input []byte, size int) [][]byte {
	var pieces [][]byte
	for ; len(input) > size; input = input[size:] {
		pieces = append(pieces, input[:size])
	}
	return append(pieces, input)
}

const (
	limitDepth = 10_000
	limitPath  = 512
	limitKey   = 64
)

// reference reads the input with encoding/json. Of a malformed one it returns
// the documents that are complete.
func reference(input []byte) result {
	text := bytes.TrimPrefix(input, []byte("\xef\xbb\xbf"))
	skipped := int64(len(input) - len(text))
	var r result
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
		var document json.RawMessage
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		end := decoder.InputOffset()
		if err != nil || undelimited(document, text[end:]) || nesting(document) > limitDepth {
			r.Malformed = true
			return r
		}
		w := walker{text: document, base: skipped + end - int64(len(document))}
		w.walk()
		r.Visits = append(r.Visits, w.visits...)
		r.Documents++
	}
	r.Blank = r.Documents == 0
	return r
}

// undelimited reports whether a number is followed by what could belong to it,
// which encoding/json takes for another document or an error.
func undelimited(document, rest []byte) bool {
	last := document[len(document)-1]
	isNumber := '0' <= last && last <= '9'
	return isNumber && len(rest) > 0 && (plainKey(string(rest[:1])) || rest[0] == '+' || rest[0] == '.')
}

// disagreement compares the result with that of the reference. Of a malformed
// input more may have been visited than the documents that are complete.
func disagreement(want, got result) string {
	if want.Malformed && len(got.Visits) > len(want.Visits) {
		got.Visits = got.Visits[:len(want.Visits)]
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

func nesting(document []byte) (deepest int) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	for depth := 0; ; {
		token, err := decoder.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		deepest = max(deepest, depth)
	}
}

// walker visits the values of a valid document.
type walker struct {
	text    []byte
	base    int64 // offset of the text
	decoder *json.Decoder
	visits  []visit
}

func (w *walker) walk() {
	w.decoder = json.NewDecoder(bytes.NewReader(w.text))
	w.decoder.UseNumber()
	w.value("")
}

// token returns the next token, its text and its offset in the document.
func (w *walker) token() (token json.Token, text []byte, start int64) {
	from := w.decoder.InputOffset()
	token, _ = w.decoder.Token()
	text = bytes.TrimLeft(w.text[from:w.decoder.InputOffset()], " \t\r\n,:")
	return token, text, w.decoder.InputOffset() - int64(len(text))
}

func (w *walker) value(path string) {
	token, text, start := w.token()
	v := visit{Path: path, Offset: w.base + start}
	switch token := token.(type) {
	case nil:
		v.Kind = jsonscan.Null
	case bool:
		v.Kind = jsonscan.False
		if token {
			v.Kind = jsonscan.True
		}
	case json.Number:
		v.Kind, v.Raw, v.Text = jsonscan.Number, string(text), token.String()
	case string:
		v.Kind, v.Raw, v.Text = jsonscan.String, string(text[1:len(text)-1]), token
	case json.Delim:
		v.Kind = jsonscan.Array
		if token == '{' {
			v.Kind = jsonscan.Object
		}
	}
	v.Size = int64(len(v.Raw))
	if len(path) <= limitPath {
		w.visits = append(w.visits, v)
	}
	switch v.Kind {
	case jsonscan.Object:
		w.members(path)
	case jsonscan.Array:
		w.elements(path)
	default:
	}
}

func (w *walker) members(path string) {
	if path != "" {
		path += "."
	}
	for w.decoder.More() {
		_, text, _ := w.token()
		key := string(text[1 : len(text)-1])
		if key == "" || len(key) > limitKey || !plainKey(key) {
			key = "?"
		}
		w.value(path + key)
	}
	w.token()
}

func (w *walker) elements(path string) {
	for w.decoder.More() {
		w.value(path + "[]")
	}
	w.token()
}

func plainKey(key string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return strings.Trim(key, plain) == ""
}
