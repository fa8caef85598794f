package llm

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// narrowEncodings leaves of Accept-Encoding what can be looked into. A request
// without the header stays so.
func narrowEncodings(out *http.Request, identityOnly bool) {
	accepted := out.Header.Values("Accept-Encoding")
	if len(accepted) == 0 && !identityOnly {
		return
	}
	var kept []string
	for coding := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		name, _, _ := strings.Cut(coding, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "identity" || name == "gzip" && !identityOnly {
			kept = append(kept, strings.TrimSpace(coding))
		}
	}
	if len(kept) == 0 {
		kept = []string{"identity"}
	}
	narrowed := strings.Join(kept, ", ")
	if len(accepted) == 1 && accepted[0] == narrowed {
		return
	}
	out.Header = out.Header.Clone()
	out.Header.Set("Accept-Encoding", narrowed)
}

// isEventStream tells whether the Content-Type is that of server-sent events.
func isEventStream(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream")
}

// maxRetryAfter bounds what servers ask for.
const maxRetryAfter = time.Hour

// retryAfter returns how long the header asks to wait: seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if header == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		wait = time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
