package doctor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of the time and the memory that a page takes.
const (
	maxSamples = 200_000   // and metrics
	maxLabels  = 3_000_000 // of all samples

	// linesAtOnce are read without a look at the clock.
	linesAtOnce = 4096
)

var errNotUTF8 = errors.New("it is not UTF-8")

// page is what a metrics page says, in its order.
type page struct {
	openMetrics bool
	families    []*family

	byName                 map[string]*family
	bytes, samples, labels int
	partial                bool // there is more than is looked at
}

// family is the metrics that a TYPE line is about.
type family struct {
	name string
	// kind is the type, such as histogram, and "" without a TYPE line.
	kind    string
	samples []sample
}

// sample is a series with its value.
type sample struct {
	name      string  // with _total, _bucket and the like
	labels    []label // by name
	value     float64
	timestamp string // as it stands there, mostly ""
	exemplar  *exemplar
}

// exemplar is the trace of one measured request; at is zero when it is not told.
type exemplar struct {
	trace string
	at    time.Time
}

type label struct{ name, value string }

// get returns the value of a label, "" when there is none.
func (s sample) get(name string) string {
	for _, l := range s.labels {
		if l.name == name {
			return l.value
		}
	}
	return ""
}

// key tells series apart as Prometheus does, but for the labels that are left
// out: an empty label is none.
func (s sample) key(leftOut ...string) string {
	var b strings.Builder
	for _, l := range s.labels {
		if l.value != "" && !slices.Contains(leftOut, l.name) {
			b.WriteString(l.name)
			b.WriteByte(0xff) // not in UTF-8
			b.WriteString(l.value)
			b.WriteByte(0xff)
		}
	}
	return b.String()
}

// parsePage reads OpenMetrics 1.0 or the classic text format, by the rules of
// Prometheus: what is an error here is one there, but for the end of ctx. It stops
// at bounds of its own, and at the end of a text that is the beginning of a page.
func parsePage(ctx context.Context, text string, openMetrics, partial bool) (*page, error) {
	p := &page{openMetrics: openMetrics, byName: make(map[string]*family), bytes: len(text), partial: partial}
	count, ended := 0, false
	for row := range strings.Lines(text) {
		if count++; count%linesAtOnce == 0 && ctx.Err() != nil {
			return nil, because(ctx, ctx.Err())
		}
		row, complete := strings.CutSuffix(row, "\n")
		switch {
		case p.full() && row != "# EOF", partial && !complete:
			p.partial = true
			return p, nil
		case ended:
			return nil, fmt.Errorf("line %d follows # EOF", count)
		case openMetrics && row == "# EOF":
			ended = true
			continue
		case openMetrics && !complete:
			return nil, fmt.Errorf("line %d breaks off", count)
		}
		err := p.read(row)
		if err != nil && strings.HasSuffix(row, "\r") {
			err = errors.New("it ends in CR LF, and Prometheus takes LF alone")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", count, err)
		}
	}
	if openMetrics && !ended && !partial {
		return nil, fmt.Errorf("the page breaks off after line %d, as # EOF is missing", count)
	}
	return p, nil
}

// full reports whether no more is looked at.
func (p *page) full() bool {
	return p.samples >= maxSamples || len(p.families) >= maxSamples || p.labels >= maxLabels
}

func (p *page) read(row string) error {
	l := &line{rest: row, strict: p.openMetrics}
	l.blank()
	switch {
	case l.rest == "" && !p.openMetrics:
		return nil
	case strings.HasPrefix(l.rest, "#"):
		return p.metadata(l)
	case !utf8.ValidString(row):
		return errNotUTF8
	}
	s, err := l.sample()
	if err != nil {
		return err
	}
	p.samples++
	p.labels += len(s.labels)
	f := p.familyOf(s.name)
	f.samples = append(f.samples, s)
	return nil
}

func (p *page) metadata(l *line) error {
	keyword, name, text, err := l.metadata()
	if err != nil || keyword == "" {
		return err
	}
	if !utf8.ValidString(name + text) {
		return errNotUTF8
	}
	switch f := p.family(name); {
	case keyword == "TYPE" && !slices.Contains(kinds(p.openMetrics), text):
		return fmt.Errorf("%q is no type of a metric", printable(text))
	case keyword == "TYPE":
		f.kind = text
	case keyword == "UNIT" && p.openMetrics && text != "" && !strings.HasSuffix(name, "_"+text):
		return errors.New("the name of the metric does not end in its unit")
	}
	return nil
}

func kinds(openMetrics bool) []string {
	if openMetrics {
		return []string{"counter", "gauge", "histogram", "summary", "gaugehistogram", "info", "stateset", "unknown"}
	}
	return []string{"counter", "gauge", "histogram", "summary", "untyped"}
}

// family returns that of a name, which is a new one if need be.
func (p *page) family(name string) *family {
	f := p.byName[name]
	if f == nil {
		f = &family{name: name}
		p.byName[name] = f
		p.families = append(p.families, f)
	}
	return f
}

// familyOf returns the family that a sample belongs to.
func (p *page) familyOf(name string) *family {
	for _, suffix := range []string{"", "_bucket", "_count", "_sum", "_total", "_created", "_info", "_gcount", "_gsum"} {
		base, ok := strings.CutSuffix(name, suffix)
		if f := p.byName[base]; ok && f != nil && f.has(suffix) {
			return f
		}
	}
	return p.family(name)
}

// has reports whether a series of this kind has a suffix.
func (f *family) has(suffix string) bool {
	switch f.kind {
	case "histogram":
		return slices.Contains([]string{"_bucket", "_count", "_sum", "_created"}, suffix)
	case "gaugehistogram":
		return slices.Contains([]string{"_bucket", "_gcount", "_gsum"}, suffix)
	case "summary":
		return slices.Contains([]string{"", "_count", "_sum", "_created"}, suffix)
	case "counter":
		return slices.Contains([]string{"", "_total", "_created"}, suffix)
	case "info":
		return suffix == "" || suffix == "_info"
	}
	return suffix == ""
}

// all returns each series with its family.
func (p *page) all() iter.Seq2[*family, sample] {
	return func(yield func(*family, sample) bool) {
		for _, f := range p.families {
			for _, s := range f.samples {
				if !yield(f, s) {
					return
				}
			}
		}
	}
}

// named returns the series of a name.
func (p *page) named(name string) iter.Seq[sample] {
	return func(yield func(sample) bool) {
		for _, f := range p.families {
			if !strings.HasPrefix(name, f.name) {
				continue
			}
			for _, s := range f.samples {
				if s.name == name && !yield(s) {
					return
				}
			}
		}
	}
}

// sum adds the values of all series of a name.
func (p *page) sum(name string) float64 {
	total := 0.0
	for s := range p.named(name) {
		total += s.value
	}
	return total
}
