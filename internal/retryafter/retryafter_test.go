package retryafter_test

import (
	"math"
	"testing"
	"time"

	"github.com/otelmon/toolkit/internal/retryafter"
)

func TestWait(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		value string
		want  time.Duration
	}{
		"seconds":             {"120", 2 * time.Minute},
		"a date":              {"Thu, 01 Jan 2026 00:01:00 GMT", time.Minute},
		"a date that is past": {"Wed, 31 Dec 2025 00:00:00 GMT", 0},
		"a fraction":          {"2.5", 2500 * time.Millisecond},
		"what is no number":   {"NaN", 0},
		"more than there is":  {"1e300", math.MaxInt32 * time.Second},
		"less than nothing":   {"-1", 0},
		"neither":             {"soon", 0},
		"nothing":             {"", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := retryafter.Wait(test.value, now); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
