package env

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Origins of a [Setting].
const (
	FromCode        = "code"
	FromEnvironment = "environment"
	FromDefault     = "default"
)

// Setting is what a Reader knows about one variable, or about a field that has
// none. All of it may be shown.
type Setting struct {
	Name    string
	Value   string // in force, or as it was set where nothing is
	Origin  string
	Field   string // that won over the variable
	Problem string // why what was set is not obeyed, or not as it stands
}

// hidden stands for a value that nobody is to see.
const hidden = "(value not shown)"

// Bounds of what is shown.
const (
	maxValue   = 256
	maxProblem = 1024
	maxUnread  = 100
)

type contextKey struct{}

// NewContext returns a context that carries the Reader to [FromContext].
func NewContext(ctx context.Context, r *Reader) context.Context {
	r.record()
	return context.WithValue(ctx, contextKey{}, r)
}

// FromContext returns a Reader without errors that reads as the one in ctx does
// and records for it, or one of its own where there is none.
func FromContext(ctx context.Context) *Reader {
	if r, ok := ctx.Value(contextKey{}).(*Reader); ok {
		return &Reader{Lookup: r.Lookup, settings: r.settings}
	}
	return &Reader{}
}

func (r *Reader) record() map[string]*Setting {
	if r.settings == nil {
		r.settings = make(map[string]*Setting)
	}
	return r.settings
}

func (r *Reader) setting(name string) *Setting {
	if r.record()[name] == nil {
		r.settings[name] = &Setting{Name: name}
	}
	return r.settings[name]
}

// Holds records what is in force under the name, in place of what was recorded
// before. The methods that read a variable call it.
func (r *Reader) Holds(name, value, origin string) {
	s := r.setting(name)
	s.Value, s.Origin, s.Field = value, origin, ""
}

// Field records that a field is in force under the name, and that a variable of
// that name is ignored if it is set.
func (r *Reader) Field(name, field, value string) {
	r.Holds(name, value, FromCode)
	s := r.setting(name)
	s.Field, s.Problem = field, ""
	r.Overridden(name, field)
	if s.Field == s.Name {
		s.Field = ""
	}
}

// Overridden notes that a variable is ignored, if it is set, because a field
// wins, where there is no value to show in its place.
func (r *Reader) Overridden(name, field string) {
	if r.IsSet(name) {
		r.Note(name, "the variable is ignored, because "+field+" wins")
	}
}

// Note records why what was set is not obeyed, or not as it stands, where that
// is no error.
func (r *Reader) Note(name, problem string) {
	s := r.setting(name)
	switch {
	case strings.Contains(s.Problem, problem):
	case s.Problem == "":
		s.Problem = problem
	default:
		s.Problem += "; " + problem
	}
}

// Refuse adds an error, and notes it without the name that it begins with.
func (r *Reader) Refuse(name string, err error) {
	r.Add(err)
	r.Note(name, strings.TrimLeft(strings.TrimPrefix(err.Error(), name), "= "))
}

// Settings returns what was recorded, sorted by name, besides defaults that few
// change. What is set in environ, which is as [os.Environ] returns it, and was
// not read is there too; unused says why, for a variable of the toolkit's.
func (r *Reader) Settings(environ []string, unused func(name string) string) []Setting {
	for name := range variables {
		if r.IsSet(name) && r.record()[name] == nil {
			r.Note(name, unused(name))
		}
	}
	settings := unread(environ)
	for _, s := range r.settings {
		if s := r.completed(*s); worthShowing(s) {
			settings = append(settings, r.masked(s).printable())
		}
	}
	slices.SortFunc(settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return settings
}

// completed fills in the value of a variable that nothing obeys.
func (r *Reader) completed(s Setting) Setting {
	if s.Origin == "" && r.IsSet(s.Name) {
		s.Value, s.Origin = r.value(s.Name), FromEnvironment
	}
	return s
}

func worthShowing(s Setting) bool {
	if s.Origin != FromDefault || s.Problem != "" {
		return s.Origin != ""
	}
	v, ok := variables[s.Name]
	return !ok || v.Default == theGeneral || slices.Contains(shownByDefault, s.Name)
}

// quoted is how errors have values, or parts of them.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// masked leaves out secrets.
func (r *Reader) masked(s Setting) Setting {
	for _, value := range []string{r.value(s.Name), s.Value} {
		if value != "" && Secret(s.Name, value) {
			s.Problem = quoted.ReplaceAllString(strings.ReplaceAll(s.Problem, value, hidden), hidden)
		}
	}
	if s.Value != "" && Secret(s.Name, s.Value) {
		s.Value = hidden
	}
	return s
}

// printable leaves out what is too long and what a terminal would obey.
func (s Setting) printable() Setting {
	s.Name = printable(s.Name, maxValue)
	s.Value = printable(s.Value, maxValue)
	s.Problem = printable(s.Problem, maxProblem)
	return s
}

func printable(text string, most int) string {
	return truncate(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text), most)
}

// unread returns the variables that look as if they were for the toolkit and are
// not. Their values may be anything, also a secret whose variable is misspelt.
func unread(environ []string) []Setting {
	var settings []Setting
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.TrimSpace(value) == "" || !ours(name) || fromKubernetes(name, environ) || len(settings) == maxUnread {
			continue
		}
		settings = append(settings, Setting{Name: name, Value: hidden, Origin: FromEnvironment, Problem: strange(name)}.printable())
	}
	return settings
}

// foreign are beginnings of names that somebody else reads: the proxy has
// variables of its own, and the OpenTelemetry Operator sets some that others
// refer to.
var foreign = []string{"OTELMON_PROXY_", "OTEL_RESOURCE_ATTRIBUTES_", "OTEL_NODE_IP", "OTEL_POD_IP"}

// ours reports whether a name that is not in the table claims to be.
func ours(name string) bool {
	_, known := variables[name]
	upper := strings.ToUpper(name)
	begins := func(prefix string) bool { return strings.HasPrefix(upper, prefix) }
	return !known && !slices.ContainsFunc(foreign, begins) && (begins("OTEL_") || begins("OTELMON_"))
}

// fromKubernetes reports whether a variable is one of those that Kubernetes sets
// in each container for a Service, such as one that is called otel-collector.
func fromKubernetes(name string, environ []string) bool {
	return slices.ContainsFunc(environ, func(variable string) bool {
		host, _, _ := strings.Cut(variable, "=")
		service, ok := strings.CutSuffix(host, "_SERVICE_HOST")
		return ok && (strings.HasPrefix(name, service+"_SERVICE_") || strings.HasPrefix(name, service+"_PORT"))
	})
}

// strange says what is known about a variable that is not read.
func strange(name string) string {
	const problem = "not read by otelmon"
	if strings.HasPrefix(name, "OTEL_GO_X_") {
		return problem + "; it may turn an experiment of the OpenTelemetry SDK on"
	}
	if near := nearest(name); near != "" {
		return fmt.Sprintf("%s; did you mean %s?", problem, near)
	}
	return problem
}

// nearest returns the variable whose name is a few letters away, "" for none.
func nearest(name string) string {
	const most = 3
	best, least := "", most+1
	for _, v := range Variables() {
		if len(name)-len(v.Name) > most || len(v.Name)-len(name) > most {
			continue
		}
		if d := distance(strings.ToUpper(name), v.Name); d < least {
			best, least = v.Name, d
		}
	}
	return best
}

// distance is how many bytes have to be inserted, removed or replaced to make b
// out of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
