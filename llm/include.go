package llm

import (
	"bytes"

	"github.com/otelmon/toolkit/internal/jsonscan"
)

// withUsage returns the body with stream_options.include_usage set, and whether
// that is a change: not where the client asks for the usage itself, nor where
// there is no stream. The facts are those of the body.
func withUsage(body []byte, f facts) ([]byte, bool) {
	if !f.complete || !f.stream || f.includeUsage {
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
