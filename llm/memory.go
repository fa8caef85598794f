package llm

import (
	"fmt"
	"hash/maphash"
	"sync"
	"unicode/utf8"

	"go.opentelemetry.io/otel"

	"github.com/otelmon/toolkit/internal/bounded"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// maxLearned bounds the attributes for models, and that for callers, whatever
// clients ask for.
const maxLearned = 100

// Memory is what Transports learn from calls: which models and callers may
// become attributes, and which requests failed lately, so that another attempt
// is known as one. A Transport that takes the place of another, or stands beside
// it, knows what that learnt when it is given the same Memory. The zero value is
// empty. It is bounded, and safe for concurrent use.
type Memory struct {
	models, callers     admitted
	failures, successes attempts

	seeded sync.Once
	seed   maphash.Seed
}

// hashSeed returns that of the hashes of requests.
func (m *Memory) hashSeed() maphash.Seed {
	m.seeded.Do(func() { m.seed = maphash.MakeSeed() })
	return m.seed
}

// admitted are values that come from outside and may become attributes of
// metrics, once they have proved good. The zero value is empty.
type admitted struct {
	values bounded.Map[string, struct{}]
	full   sync.Once
}

// admit lets the value be an attribute, unless too many are.
func (a *admitted) admit(kind, value string) {
	if value == "" || value == telemetry.OtherModel || len(value) > maxName || !utf8.ValidString(value) {
		return
	}
	if _, ok := a.values.Add(value, maxLearned, func() struct{} { return struct{}{} }); !ok {
		a.full.Do(func() {
			otel.Handle(fmt.Errorf("more than %d %s of LLM APIs: further ones count as %q", maxLearned, kind, telemetry.OtherModel))
		})
	}
}

// names are what may become the values of one attribute.
type names struct {
	kind    string // for who reads the log
	listed  map[string]bool
	learned *admitted
}

func newNames(kind string, listed []string, learned *admitted) names {
	n := names{kind: kind, listed: map[string]bool{}, learned: learned}
	for _, name := range listed {
		n.listed[name] = true
	}
	return n
}

func (n names) admit(value string) {
	if !n.listed[value] {
		n.learned.admit(n.kind, value)
	}
}

// label returns the value if it may be one, else "other", and nothing for
// nothing.
func (n names) label(value string) string {
	if value == "" || n.listed[value] {
		return value
	}
	if _, ok := n.learned.values.Get(value); !ok {
		return telemetry.OtherModel
	}
	return value
}
