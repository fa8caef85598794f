package sse_test

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/otelmon/toolkit/internal/sse"
)

// event is an event as it is told of, in strings.
type event struct {
	Type, Data string
	TooLarge   bool
	Start, End int64
}

// result is what is told of a stream.
type result struct {
	Events   []event
	Comments int
	Pending  int64
}

// parse writes the pieces.
func parse(maxEvent int, pieces ...[]byte) result {
	var r result
	p := sse.Parser{
		MaxEvent: maxEvent,
		OnEvent: func(e sse.Event) {
			r.Events = append(r.Events, event{string(e.Type), string(e.Data), e.TooLarge, e.Start, e.End})
		},
		OnComment: func() { r.Comments++ },
	}
	for _, piece := range pieces {
		own := bytes.Clone(piece)
		_, _ = p.Write(own)
		clear(own) // nothing of it may be used later
	}
	r.Pending = p.Pending()
	return r
}

// chunks cuts the input into pieces of a size.
func chunks(input []byte, size int) [][]byte {
	var pieces [][]byte
	for ; len(input) > size; input = input[size:] {
		pieces = append(pieces, input[:size])
	}
	return append(pieces, input)
}

var lineEnding = regexp.MustCompile("\r\n|\n|\r")

// reference reads a whole stream line by line.
func reference(stream string, maxEvent int) result {
	var r result
	var next event
	var data []string
	open, commented := false, false
	for offset := 0; ; {
		ending := lineEnding.FindStringIndex(stream[offset:])
		if ending == nil {
			r.Pending = next.Start
			return r
		}
		line := stream[offset : offset+ending[0]]
		next.TooLarge = next.TooLarge || offset+len(line)-int(next.Start) > maxEvent
		if offset == 0 {
			line = strings.TrimPrefix(line, "\xef\xbb\xbf")
		}
		offset += ending[1]
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && data != nil:
			next.End = int64(offset)
			if !next.TooLarge {
				next.Data = strings.Join(data, "\n")
			}
			r.Events = append(r.Events, next)
			open, commented, data = false, false, nil
		case line == "":
			if !open && !commented {
				r.Comments++
			}
			open, commented = false, false
		case name == "":
			r.Comments++
			commented = !open
		default:
			open, commented = true, false
			if name == "data" {
				data = append(data, value)
			}
			if name == "event" && !next.TooLarge {
				next.Type = value
			}
		}
		if !open {
			next = event{Start: int64(offset)}
		}
	}
}

// whole adds to the ranges of events the LF of a CRLF that came in another piece.
func (r result) whole(stream string) result {
	for i, e := range r.Events {
		if strings.HasPrefix(stream[e.End-1:], "\r\n") {
			r.Events[i].End++
		}
	}
	return r
}
