package lint

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// rangeFunctions are those of counters; that they are given something else is a
// mistake.
var rangeFunctions = []string{"rate", "irate", "increase"}

// An inspection is that of one expression.
type inspection struct {
	*Linter
	*problems

	// window is the only range that rates may have, 0 for any.
	window time.Duration
	// total is another one, for increases.
	total time.Duration
}

// inspect checks an expression and returns the labels of its result.
func (i inspection) inspect(text string) Labels {
	expr, err := i.parser.ParseExpr(text)
	if err != nil {
		i.add("%v in %s", err, text)
		return nil
	}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			i.selector(n, path)
		case *parser.AggregateExpr:
			i.grouping(n)
		case *parser.BinaryExpr:
			i.matching(n)
		case *parser.Call:
			i.call(n)
		}
		return nil
	})
	return i.labelsOf(expr)
}

func (i inspection) selector(s *parser.VectorSelector, path []parser.Node) {
	names := i.names(s)
	if len(names) == 0 {
		i.add("there is no metric %s", cmp.Or(s.Name, s.String()))
		return
	}
	there := i.selected(s)
	for _, m := range s.LabelMatchers {
		if m.Name != nameLabel && !there.has(m.Name) {
			i.add("%s has no label %s", names[0], m.Name)
		}
	}
	if s.Name != "" && i.isCounter(s.Name) && !rated(path) && !unread(s, path) {
		i.add("%s is a counter, of which only rate or increase means something", s.Name)
	}
}

// rated says that a selector is under a function of its own over time.
func rated(path []parser.Node) bool {
	for _, node := range path {
		if _, ok := node.(*parser.MatrixSelector); ok {
			return true
		}
	}
	return false
}

// unread says that the value of a selector does not matter, or is the increase
// of a counter that was born within a time: "x unless x offset 5m".
func unread(s *parser.VectorSelector, path []parser.Node) bool {
	child := parser.Node(s)
	for _, node := range slices.Backward(path) {
		switch n := node.(type) {
		case *parser.AggregateExpr:
			if n.Op == parser.COUNT || n.Op == parser.GROUP {
				return true
			}
		case *parser.Call:
			if slices.Contains([]string{"absent", "timestamp"}, n.Func.Name) {
				return true
			}
		case *parser.BinaryExpr:
			switch {
			case n.Op == parser.LUNLESS && (n.RHS == child || isBirth(s, n)), n.Op == parser.LAND && n.RHS == child, isZero(n):
				return true
			}
		}
		child = node
	}
	return false
}

// isZero says that an expression is 0 times something, for its labels alone.
func isZero(e *parser.BinaryExpr) bool {
	left, ok := e.LHS.(*parser.NumberLiteral)
	return e.Op == parser.MUL && ok && left.Val == 0
}

// isBirth says that the other side is the same series some time ago.
func isBirth(s *parser.VectorSelector, e *parser.BinaryExpr) bool {
	found := false
	parser.Inspect(e.RHS, func(node parser.Node, _ []parser.Node) error {
		if other, ok := node.(*parser.VectorSelector); ok && other.Name == s.Name && other.OriginalOffset > 0 {
			found = true
		}
		return nil
	})
	return found
}

func (i inspection) grouping(e *parser.AggregateExpr) {
	there := i.labelsOf(e.Expr)
	for _, name := range e.Grouping {
		if !there.has(name) {
			i.add("%s (%s) groups by a label that is not there", e.Op, name)
		}
	}
}

func (i inspection) matching(e *parser.BinaryExpr) {
	m := e.VectorMatching
	if m == nil {
		return
	}
	left, right := i.labelsOf(e.LHS), i.labelsOf(e.RHS)
	for _, name := range m.MatchingLabels {
		switch {
		case m.On && !(left.has(name) && right.has(name)):
			i.add("on (%s) at %s matches a label that is not on both sides", name, e.Op)
		case !m.On && !left.has(name) && !right.has(name):
			i.add("ignoring (%s) at %s ignores a label that is on neither side", name, e.Op)
		}
	}
	one := right
	if m.Card == parser.CardOneToMany {
		one = left
	}
	for _, name := range m.Include {
		if !one.has(name) {
			i.add("group (%s) at %s takes a label that is not there", name, e.Op)
		}
	}
}

func (i inspection) call(e *parser.Call) {
	switch name := e.Func.Name; {
	case slices.Contains(rangeFunctions, name):
		i.rate(e)
	case name == "histogram_quantile":
		i.quantile(e)
	case name == "label_replace":
		i.source(e, text(e.Args[3]))
	case name == "label_join":
		for _, arg := range e.Args[3:] {
			i.source(e, text(arg))
		}
	}
}

func (i inspection) source(e *parser.Call, label string) {
	if label != "" && label != nameLabel && !i.labelsOf(e.Args[0]).has(label) {
		i.add("%s reads label %s, which is not there", e.Func.Name, label)
	}
}

// rate checks what a rate is of, and over which time.
func (i inspection) rate(e *parser.Call) {
	m, ok := e.Args[0].(*parser.MatrixSelector)
	if !ok {
		return // of a subquery
	}
	if s, ok := m.VectorSelector.(*parser.VectorSelector); ok && s.Name != "" {
		_, known := i.raw[s.Name]
		if _, recorded := i.recorded[s.Name]; recorded || known && !i.isCounter(s.Name) && !i.isNative(s.Name) {
			i.add("%s of %s, which is no counter", e.Func.Name, s.Name)
		}
	}
	if i.window != 0 && m.Range != i.window && !(e.Func.Name == "increase" && m.Range == i.total) {
		i.add("%s over a range other than $__rate_interval", e.Func.Name)
	}
}

// quantile wants the buckets to be told apart.
func (i inspection) quantile(e *parser.Call) {
	if i.labelsOf(e.Args[1]).has("le") {
		return
	}
	native := true
	parser.Inspect(e.Args[1], func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			for _, name := range i.names(s) {
				native = native && i.isNative(name)
			}
		}
		return nil
	})
	if !native {
		i.add("histogram_quantile of buckets that have lost their label le")
	}
}
