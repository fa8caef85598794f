package meter

import (
	"strings"
	"unicode/utf8"
)

// matches reports whether name fits pattern, in which * stands for any run of characters and ? for any one, regardless
// of case. path.Match is of no use here, because its * stops at a slash and instrument names may contain one.
func matches(pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	// When the rest does not fit, the last star takes one more character and the rest is tried again.
	afterStar, retry := -1, 0
	p, n := 0, 0
	for n < len(name) {
		_, size := utf8.DecodeRuneInString(name[n:])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			afterStar, retry = p, n
		case p < len(pattern) && pattern[p] == '?':
			p++
			n += size
		case strings.HasPrefix(pattern[p:], name[n:n+size]):
			p += size
			n += size
		case afterStar >= 0:
			_, size = utf8.DecodeRuneInString(name[retry:])
			retry += size
			p, n = afterStar, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func matchesAny(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}
