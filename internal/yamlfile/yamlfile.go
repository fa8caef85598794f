// Package yamlfile reads configuration from YAML strictly, and tells what is
// wrong with it by line and field, all of it at once.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxSize is that of a document, in bytes.
const maxSize = 1 << 20

// Problem is what is wrong with a field, such as "slos[0].latency".
type Problem struct{ Field, Text string }

func (p Problem) String() string { return p.Field + ": " + p.Text }

// Problems are those of one document.
type Problems []Problem

// Add adds one of a field. The text names the value and what is accepted.
func (p *Problems) Add(field, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
}

// Document remembers where fields were. A nil one knows of none.
type Document struct {
	at   string // how errors begin, before the number of the line
	root yaml.Node
}

// Read reads a file of at most 1 MiB into a pointer to a struct, as [Parse]
// does. Its errors begin with the file and the line, such as "slo.yaml:3: ".
func Read(path string, into any) (*Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return parse(path+":", data, into)
}

// Parse reads one YAML document into a pointer to a struct, which stays as it is
// when there is nothing in it. A field that the struct does not have, a field
// that is there twice, a value of another type and a second document are errors,
// which have one line each, such as "line 3: slos[0].name: ..."; they do not
// quote values, which may be secrets.
func Parse(data []byte, into any) (*Document, error) { return parse("line ", data, into) }

func parse(at string, data []byte, into any) (*Document, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("%s1: longer than %d bytes", at, maxSize)
	}
	d := &Document{at: at}
	var more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&d.root); err != nil && !errors.Is(err, io.EOF) {
		return nil, d.syntaxError(err)
	}
	if err := decoder.Decode(&more); err == nil {
		return nil, fmt.Errorf("%s%d: a second document; accepted: one", at, more.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, d.syntaxError(err)
	}
	strict := yaml.NewDecoder(bytes.NewReader(data))
	strict.KnownFields(true)
	if err := strict.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return nil, d.typeErrors(err, reflect.TypeOf(into))
	}
	return d, nil
}

// Error returns the problems by line, or nil if there are none.
func (d *Document) Error(problems Problems) error {
	slices.SortStableFunc(problems, func(a, b Problem) int { return d.Line(a.Field) - d.Line(b.Field) })
	var all []error
	for _, p := range problems {
		all = append(all, fmt.Errorf("%s%d: %s", d.at, d.Line(p.Field), p))
	}
	return errors.Join(all...)
}

// Line returns the line of a field such as "slos[0].latency", or of what is
// nearest around it where there is none; 0 of a nil Document.
func (d *Document) Line(field string) int {
	if d == nil {
		return 0
	}
	node, line := &d.root, 1
	if node.Kind == yaml.DocumentNode {
		node = node.Content[0]
	}
	for _, step := range strings.FieldsFunc(field, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		next, at := child(node, step)
		if next == nil {
			break
		}
		node, line = next, at
	}
	return line
}

// child returns the value of a key or of an index, and the line where it
// begins, or nil.
func child(node *yaml.Node, step string) (*yaml.Node, int) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	default:
	}
	return nil, 0
}

// syntaxError tells where a document is no YAML.
func (d *Document) syntaxError(err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		return errors.New(d.at + rest)
	}
	return errors.New(d.at + "1: " + message)
}

// typeErrors tells what does not fit a type, by fields of the document instead
// of types of Go.
func (d *Document) typeErrors(err error, into reflect.Type) error {
	types, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return d.syntaxError(err)
	}
	var all []error
	for _, message := range types.Errors {
		number, text, _ := strings.Cut(strings.TrimPrefix(message, "line "), ": ")
		line, _ := strconv.Atoi(number) // the package always tells it
		if name, ok := strings.CutPrefix(text, "field "); ok {
			name, goType, _ := strings.Cut(name, " not found in type ")
			text = d.keyAt(line, name) + ": no such field; accepted: " + strings.Join(fieldsOf(into, goType), ", ")
		} else if at := strings.LastIndex(text, " into "); at >= 0 {
			text = d.valueAt(line, text[:at]) + ": the value does not fit; accepted: " + accepted(text[at+len(" into "):])
		}
		all = append(all, fmt.Errorf("%s%d: %s", d.at, line, strings.TrimPrefix(text, ": ")))
	}
	return errors.Join(all...)
}

// fieldsOf returns the fields of the struct called goType, which is t or
// somewhere within it.
func fieldsOf(t reflect.Type, goType string) (names []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		if t.String() == goType {
			names = append(names, name)
		} else if within := fieldsOf(f.Type, goType); within != nil {
			return within
		}
	}
	return names
}

// accepted describes the values of a type of Go.
func accepted(goType string) string {
	switch {
	case goType == "string":
		return "a text"
	case goType == "bool":
		return "true or false"
	case goType == "float64":
		return "a number"
	case goType == reflect.TypeFor[time.Duration]().String():
		return "a duration such as 30s"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	}
	return "fields with values"
}

// keyAt returns the field of a key, such as "slos[0].latency".
func (d *Document) keyAt(line int, name string) string {
	return find(&d.root, "", func(key, _ *yaml.Node) bool { return key != nil && key.Line == line && key.Value == name })
}

// valueAt returns the field of the value that the YAML package complains about,
// which quotes how a scalar begins; or else what is first in its line.
func (d *Document) valueAt(line int, complaint string) string {
	_, begin, _ := strings.Cut(complaint, "`")
	begin = strings.TrimSuffix(strings.TrimSuffix(begin, "`"), "...")
	field := find(&d.root, "", func(_, value *yaml.Node) bool {
		return value.Kind == yaml.ScalarNode && value.Line == line && begin != "" && strings.HasPrefix(value.Value, begin)
	})
	if field != "" {
		return field
	}
	return find(&d.root, "", func(key, value *yaml.Node) bool {
		return key != nil && key.Line == line || value.Kind == yaml.ScalarNode && value.Line == line
	})
}

// find returns the first field that is right, or "". It looks into node, which
// is at the path. The elements of lists have no key.
func find(node *yaml.Node, path string, right func(key, value *yaml.Node) bool) string {
	at := func(key, value *yaml.Node, path string) string {
		if right(key, value) {
			return path
		}
		return find(value, path, right)
	}
	switch node.Kind {
	case yaml.DocumentNode:
		if root := node.Content[0]; root.Kind == yaml.MappingNode {
			return find(root, path, right)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if field := at(key, node.Content[i+1], strings.TrimPrefix(path+"."+key.Value, ".")); field != "" {
				return field
			}
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			if field := at(nil, item, fmt.Sprintf("%s[%d]", path, i)); field != "" {
				return field
			}
		}
	default:
	}
	return ""
}
