package text_test

import (
	"strings"
	"testing"

	"github.com/otelmon/toolkit/zpages/internal/text"
)

func TestCut(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		most int
		want string
	}{
		"what fits is left alone":            {"twelve bytes", 12, "twelve bytes"},
		"what is longer says so":             {"twelve bytes.", 12, "twelve by…"},
		"no character is cut in two":         {strings.Repeat("é", 10), 12, "éééé…"},
		"nothing but the sign may have room": {"long", 3, "…"},
		"what is no text is left out":        {"\xff\xfe" + strings.Repeat("a", 10), 10, "aaaaa…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := text.Cut(tt.text, tt.most); got != tt.want || len(got) > tt.most {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
