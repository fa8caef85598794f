package meter

// In the package, because the matcher is not worth exporting.

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pattern, name string
		want          bool
	}{
		"a name matches itself":                       {"http.server", "http.server", true},
		"a name does not match its beginning":         {"http.server", "http.serve", false},
		"a name does not match a longer one":          {"http.server", "http.server.x", false},
		"case does not matter":                        {"HTTP.*", "http.Server", true},
		"a star takes nothing":                        {"http*", "http", true},
		"a star takes a slash":                        {"cache.*.size", "cache.a/b.size", true},
		"a star takes no less than what follows it":   {"*.size", ".size", true},
		"a star gives back what it took too much":     {"a*bc", "abcbc", true},
		"two stars share what is between":             {"*a*b", "xaxxb", true},
		"a question mark takes one character":         {"http.?erver", "http.server", true},
		"a question mark takes one wide character":    {"?", "é", true},
		"a question mark does not take nothing":       {"http?", "http", false},
		"a dot is a dot":                              {"a.b", "axb", false},
		"brackets are only characters":                {"[ab]", "a", false},
		"an empty pattern matches only an empty name": {"", "a", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := matches(tt.pattern, tt.name); got != tt.want {
				t.Errorf("matches(%q, %q): got %t, want %t", tt.pattern, tt.name, got, tt.want)
			}
		})
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("http.*.dur?tion", "http.server.duration")
	f.Add("*a*?b", "aab")
	f.Add("?", "é")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		quoted := regexp.QuoteMeta(strings.ToLower(strings.ToValidUTF8(pattern, "x")))
		re, err := regexp.Compile(`(?s)^` + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted) + `$`)
		if err != nil {
			t.Skip(err)
		}
		name = strings.ToValidUTF8(name, "x")
		want := re.MatchString(strings.ToLower(name))
		if got := matches(strings.ToValidUTF8(pattern, "x"), name); got != want {
			t.Errorf("matches(%q, %q): got %t, want %t", pattern, name, got, want)
		}
	})
}
