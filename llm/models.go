package llm

import (
	"unicode/utf8"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/telemetry"
)

const (
	// maxModels bounds the attributes for models, whatever clients ask for.
	maxModels = 100
	// maxCallers bounds the attribute for callers.
	maxCallers = 100
)

// admitted are values that come from outside and may become attributes of
// metrics.
type admitted struct {
	limit  int
	values bounded.Map[string, struct{}]
}

func newAdmitted(limit int, names []string) *admitted {
	a := &admitted{limit: limit}
	for _, name := range names {
		a.admit(name)
	}
	return a
}

// admit lets the value be an attribute, unless too many are.
func (a *admitted) admit(value string) {
	if value != "" && len(value) <= maxName && utf8.ValidString(value) {
		a.values.Add(value, a.limit, func() struct{} { return struct{}{} })
	}
}

// label returns the value if it was admitted, else "other", and nothing for
// nothing.
func (a *admitted) label(value string) string {
	if value == "" {
		return ""
	}
	if _, ok := a.values.Get(value); !ok {
		return telemetry.OtherModel
	}
	return value
}
