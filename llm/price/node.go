package price

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// reader turns the nodes of a document into prices. It keeps the first error and goes on with zero
// values, so that only the end has to look at it.
type reader struct {
	source  string
	windows map[string]*window
	layer   layer
	err     error
}

func (r *reader) fail(n *yaml.Node, where, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("line %d: %s: %s", n.Line, where, problem)
	}
}

// entry is a mapping of the document: its values by key, and what errors call it.
type entry struct {
	*reader
	node   *yaml.Node
	where  string
	values map[string]*yaml.Node
}

// entry reads a mapping whose keys are all among those accepted, each at most once.
func (r *reader) entry(n *yaml.Node, where string, accepted ...string) entry {
	e := entry{r, n, where, map[string]*yaml.Node{}}
	if n.Kind != yaml.MappingNode {
		r.fail(n, where, "want a mapping of "+strings.Join(accepted, ", "))
		return e
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if !slices.Contains(accepted, key) {
			r.fail(n.Content[i], where, fmt.Sprintf("unknown field %q, want %s", key, strings.Join(accepted, ", ")))
		}
		if e.has(key) {
			r.fail(n.Content[i], where, key+" is given twice")
		}
		e.values[key] = n.Content[i+1]
	}
	return e
}

func (e entry) has(key string) bool { return e.values[key] != nil }

// invalid says what a field has to be.
func (e entry) invalid(key, want string) {
	if !e.has(key) {
		e.fail(e.node, e.where, fmt.Sprintf("%s is missing, want %s", key, want))
		return
	}
	e.invalidItem(e.values[key], key, want)
}

// invalidItem says what a field has to be, or an element of it.
func (e entry) invalidItem(n *yaml.Node, key, want string) {
	problem := key + ": want " + want
	if n.Kind == yaml.ScalarNode {
		problem = fmt.Sprintf("%s is %q, want %s", key, n.Value, want)
	}
	e.fail(n, e.where, problem)
}

// text returns the value of a field, or "" if it is absent, a mapping or a list.
func (e entry) text(key string) string {
	if n := e.values[key]; n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// list returns the elements of a field, none if it is absent.
func (e entry) list(key string) []*yaml.Node {
	n := e.values[key]
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		e.invalid(key, "a list")
		return nil
	}
	return n.Content
}

// name returns a name in lower case.
func (e entry) name(key string) string {
	name := e.text(key)
	if !validName(name) {
		e.invalid(key, wantName)
	}
	return strings.ToLower(name)
}

const wantName = "1 to 128 printable ASCII characters without space"

func validName(name string) bool {
	unfit := func(c rune) bool { return c < '!' || c > '~' }
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, unfit)
}

// price returns the value of a field, or otherwise if it is absent.
func (e entry) price(key string, otherwise float64) float64 {
	if !e.has(key) {
		return otherwise
	}
	price, err := strconv.ParseFloat(e.text(key), 64)
	if accepted := price >= 0 && price <= maxPrice; err != nil || !accepted { // NaN is not accepted
		e.invalid(key, fmt.Sprintf("a price per 1,000,000 tokens from 0 to %d", int64(maxPrice)))
	}
	return price
}

// time returns an instant, or the midnight in UTC a date begins with.
func (e entry) time(key string) time.Time {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, e.text(key)); err == nil {
			return t
		}
	}
	e.invalid(key, "a time such as 2026-08-16T16:00:00Z, or a date, which begins at 00:00 UTC")
	return time.Time{}
}
