package llm

import (
	"net/http"
	"strings"
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
