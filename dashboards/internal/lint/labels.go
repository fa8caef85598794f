package lint

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// nameLabel holds the name of a metric.
const nameLabel = "__name__"

// labelsOf returns the labels that the result of an expression may have.
func (l *Linter) labelsOf(expr parser.Expr) Labels {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return l.selected(e)
	case *parser.MatrixSelector:
		return l.labelsOf(e.VectorSelector)
	case *parser.SubqueryExpr:
		return l.labelsOf(e.Expr)
	case *parser.ParenExpr:
		return l.labelsOf(e.Expr)
	case *parser.UnaryExpr:
		return l.labelsOf(e.Expr)
	case *parser.AggregateExpr:
		return l.aggregated(e)
	case *parser.Call:
		return l.called(e)
	case *parser.BinaryExpr:
		return l.joined(e)
	}
	return Labels{}
}

// selected are the labels of all series that a selector can find.
func (l *Linter) selected(s *parser.VectorSelector) Labels {
	found, names := Labels{}, l.names(s)
	if len(names) == 0 {
		return Labels{anyLabel: true}
	}
	for _, name := range names {
		found = found.union(l.raw[name]).union(l.recorded[name])
	}
	return found
}

// names are those of the metrics that a selector finds, as far as there are any.
func (l *Linter) names(s *parser.VectorSelector) (names []string) {
	if s.Name != "" {
		if l.raw[s.Name] == nil && l.recorded[s.Name] == nil {
			return nil
		}
		return []string{s.Name}
	}
	var matchers []*labels.Matcher
	for _, m := range s.LabelMatchers {
		if m.Name == nameLabel {
			matchers = append(matchers, m)
		}
	}
	known := maps.Clone(l.raw)
	maps.Copy(known, l.recorded)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(name) }) {
			names = append(names, name)
		}
	}
	return names
}

func (l *Linter) aggregated(e *parser.AggregateExpr) Labels {
	inner := l.labelsOf(e.Expr)
	switch e.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return inner
	}
	kept := inner.only(e.Grouping...)
	if e.Without {
		kept = inner.without(e.Grouping...)
	}
	if e.Op == parser.COUNT_VALUES {
		kept = kept.with(text(e.Param))
	}
	return kept
}

func (l *Linter) called(e *parser.Call) Labels {
	switch e.Func.Name {
	case "absent", "absent_over_time":
		return pinned(e.Args[0])
	case "label_replace", "label_join":
		return l.labelsOf(e.Args[0]).with(text(e.Args[1]))
	case "histogram_quantile":
		return l.labelsOf(e.Args[1]).without("le")
	}
	for _, arg := range e.Args {
		if kind := arg.Type(); kind == parser.ValueTypeVector || kind == parser.ValueTypeMatrix {
			return l.labelsOf(arg)
		}
	}
	return Labels{}
}

// pinned are the labels that an absent series gets from its selector.
func pinned(arg parser.Expr) Labels {
	if m, ok := arg.(*parser.MatrixSelector); ok {
		arg = m.VectorSelector
	}
	found := Labels{}
	if s, ok := arg.(*parser.VectorSelector); ok {
		for _, m := range s.LabelMatchers {
			if m.Type == labels.MatchEqual && m.Name != nameLabel {
				found.add(m.Name)
			}
		}
	}
	return found
}

func (l *Linter) joined(e *parser.BinaryExpr) Labels {
	left, right := l.labelsOf(e.LHS), l.labelsOf(e.RHS)
	m := e.VectorMatching
	switch {
	case m == nil && e.LHS.Type() == parser.ValueTypeVector:
		return left
	case m == nil:
		return right
	case e.Op == parser.LOR:
		return left.union(right)
	case e.Op.IsSetOperator():
		return left
	case m.Card == parser.CardManyToOne:
		return left.with(m.Include...)
	case m.Card == parser.CardOneToMany:
		return right.with(m.Include...)
	case m.On:
		return left.only(m.MatchingLabels...)
	}
	return left.without(m.MatchingLabels...)
}

func text(expr parser.Expr) string {
	if s, ok := expr.(*parser.StringLiteral); ok {
		return s.Val
	}
	return ""
}

// isCounter says that only the increase of a metric means something. It goes by
// its name, of which _count and _sum are also those of gauges.
func (l *Linter) isCounter(name string) bool {
	if l.raw[name] == nil {
		return false
	}
	base, part := name, ""
	for _, suffix := range []string{"_count", "_sum", "_bucket"} {
		if b, ok := strings.CutSuffix(name, suffix); ok {
			base, part = b, suffix
		}
	}
	return strings.HasSuffix(name, "_total") || part != "" && l.raw[base+"_sum"] != nil && l.raw[base+"_count"] != nil
}

// isNative says that a metric can be a native histogram.
func (l *Linter) isNative(name string) bool {
	return l.native[name] || l.raw[name+"_bucket"] != nil
}
