package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxShownBytes is as much of a text of others as a finding has.
	maxShownBytes = 100

	// maxListed is how many of a kind a finding names.
	maxListed = 5
)

// printable makes a text of others fit for a message: on one line, without
// control characters, and cut at 100 bytes.
func printable(text string) string {
	most := min(len(text), 4*maxShownBytes) // the rest is never shown
	line := oneLine(text[:most])
	if len(line) <= maxShownBytes && most == len(text) {
		return line
	}
	end := min(len(line), maxShownBytes-len("…"))
	for end > 0 && end < len(line) && !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end] + "…"
}

// oneLine takes control characters off, and what is not UTF-8.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, "")))
}

// listed joins the first few texts.
func listed(texts []string) string {
	if more := len(texts) - maxListed; more > 0 {
		return strings.Join(texts[:maxListed], "; ") + fmt.Sprintf("; and %d more", more)
	}
	return strings.Join(texts, "; ")
}

// listedNames lists names that others chose.
func listedNames(names []string) string {
	shown := slices.Clone(names)
	for i := range min(len(shown), maxListed) {
		shown[i] = printable(shown[i])
	}
	return listed(shown)
}

// counted is a number of things.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// rounded is a duration as people read it.
func rounded(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return counted(int(d/day), "day")
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return max(d.Round(time.Millisecond), time.Millisecond).String()
}

// together joins words as people do.
func together(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
