package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// line reads one line of a metrics page, from the left. Prometheus refuses a
// whole page for one line that is wrong.
type line struct {
	rest string
	// strict is OpenMetrics, which has one space, and only where it must be.
	strict bool
}

func (l *line) take(prefix string) bool {
	rest, ok := strings.CutPrefix(l.rest, prefix)
	l.rest = rest
	return ok
}

// blank skips what the classic format has anywhere.
func (l *line) blank() {
	if !l.strict {
		l.rest = strings.TrimLeft(l.rest, " \t")
	}
}

func (l *line) spaced() bool {
	return strings.HasPrefix(l.rest, " ") || !l.strict && strings.HasPrefix(l.rest, "\t")
}

// field returns what is next between spaces.
func (l *line) field() string {
	if l.strict && !l.take(" ") {
		return ""
	}
	l.blank()
	end := strings.IndexAny(l.rest, " \t")
	if end < 0 {
		end = len(l.rest)
	}
	field := l.rest[:end]
	l.rest = l.rest[end:]
	return field
}

// name returns a metric's or a label's name, or a quoted one.
func (l *line) name() (name string, quoted bool, err error) {
	if strings.HasPrefix(l.rest, `"`) {
		name, err = l.quoted()
		return name, true, err
	}
	end := 0
	for end < len(l.rest) && nameByte(l.rest[end], end == 0) {
		end++
	}
	name = l.rest[:end]
	l.rest = l.rest[end:]
	return name, false, nil
}

func nameByte(b byte, first bool) bool {
	letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b == ':'
	return letter || !first && b >= '0' && b <= '9'
}

// quoted returns the text in the quotes that are next.
func (l *line) quoted() (string, error) {
	if !l.take(`"`) {
		return "", errors.New("a quote is missing")
	}
	for i := 0; i < len(l.rest); i++ {
		switch l.rest[i] {
		case '\\':
			i++ // what is escaped does not end it
		case '"':
			text := l.rest[:i]
			l.rest = l.rest[i+1:]
			return unescaped(text), nil
		}
	}
	return "", errors.New("a quote does not end")
}

func unescaped(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return escapes.Replace(text)
}

var escapes = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// sample returns the series with its value that the whole line is.
func (l *line) sample() (s sample, err error) {
	l.blank()
	if strings.HasPrefix(l.rest, `"`) {
		return s, errors.New("a quoted name is not in braces")
	}
	s.name, _, _ = l.name()
	if l.blank(); l.take("{") {
		if err = l.labels(&s); err != nil {
			return s, err
		}
	}
	if s.name == "" {
		return s, errors.New("it has no name")
	}
	if s.value, err = number(l.field()); err != nil {
		return s, err
	}
	return s, l.after(&s)
}

// after reads what may follow a value: a time, and in OpenMetrics an exemplar.
func (l *line) after(s *sample) error {
	if l.blank(); l.rest != "" && !strings.HasPrefix(l.rest, " # ") {
		s.timestamp = l.field()
		if err := l.time(s.timestamp); err != nil {
			return err
		}
	}
	if l.strict && l.take(" # {") {
		return l.exemplar(s)
	}
	if l.blank(); l.rest != "" {
		return errors.New("something follows its value")
	}
	return nil
}

func (l *line) time(text string) (err error) {
	if l.strict {
		_, err = number(text)
	} else {
		_, err = strconv.ParseUint(text, 10, 63)
	}
	if err != nil {
		return fmt.Errorf("its time %q is none", printable(text))
	}
	return nil
}

func (l *line) exemplar(s *sample) error {
	var e sample
	if err := l.labels(&e); err != nil {
		return fmt.Errorf("its exemplar: %w", err)
	}
	if e.name != "" {
		return errors.New("its exemplar has a label without a value")
	}
	if _, err := number(l.field()); err != nil {
		return fmt.Errorf("its exemplar: %w", err)
	}
	s.exemplar = &exemplar{trace: e.get("trace_id")}
	if l.rest == "" {
		return nil
	}
	seconds, err := number(l.field())
	if err != nil || l.rest != "" {
		return errors.New("its exemplar has no time at its end")
	}
	s.exemplar.at = time.UnixMilli(int64(seconds * 1000))
	return nil
}

// maxLabelsOfOne is more than a series has.
const maxLabelsOfOne = 128

// labels reads up to the closing brace. A quoted name without a value is that
// of the metric.
func (l *line) labels(s *sample) error {
	for {
		if l.blank(); l.take("}") {
			return s.sortLabels()
		}
		name, quoted, err := l.name()
		if err != nil {
			return err
		}
		switch l.blank(); {
		case len(s.labels) == maxLabelsOfOne:
			return fmt.Errorf("it has more than %d labels", maxLabelsOfOne)
		case l.take("=") && (quoted || !strings.Contains(name, ":")):
			l.blank()
			value, err := l.quoted()
			if err != nil {
				return err
			}
			s.labels = append(s.labels, label{name, value})
		case quoted && s.name == "":
			s.name = name
		default:
			return fmt.Errorf("its label %q has no value", printable(name))
		}
		if l.blank(); !l.take(",") && !strings.HasPrefix(l.rest, "}") && l.strict {
			return errors.New("its labels have no comma or brace where one belongs")
		}
	}
}

func (s *sample) sortLabels() error {
	slices.SortFunc(s.labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	for i, l := range s.labels {
		if l.name == "" {
			return errors.New("a label has no name")
		}
		if i > 0 && l.name == s.labels[i-1].name {
			return fmt.Errorf("it has the label %q twice", printable(l.name))
		}
	}
	return nil
}

// number parses what Prometheus takes for one.
func number(text string) (float64, error) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsAny(text, "pP_") {
		return 0, fmt.Errorf("its value %q is no number", printable(text))
	}
	return value, nil
}

// metadata is a line that begins with "# TYPE" and the like; keyword is "" for
// other comments.
func (l *line) metadata() (keyword, name, text string, err error) {
	l.take("#")
	spaced := l.spaced()
	keyword = l.field()
	known := slices.Contains([]string{"HELP", "TYPE"}, keyword) || l.strict && keyword == "UNIT"
	switch {
	case known && spaced && l.rest != "":
	case l.strict:
		return "", "", "", errors.New("OpenMetrics has no such comment")
	default:
		return "", "", "", nil
	}
	if l.blank(); l.strict {
		l.take(" ")
	}
	if name, _, err = l.name(); err == nil && name == "" {
		err = errors.New("a name is missing")
	}
	if err == nil && !l.spaced() && (l.strict || l.rest != "") {
		err = errors.New("a text is missing")
	}
	if l.blank(); l.strict {
		l.take(" ")
	}
	return keyword, name, l.rest, err
}
