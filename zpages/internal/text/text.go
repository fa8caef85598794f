// Package text bounds the texts that the live page keeps.
package text

import "strings"

const more = "…"

// Cut returns the text in at most so many bytes, 3 or more. What is longer ends
// with "…", and shares no memory with the text.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(more)], "") + more
}
