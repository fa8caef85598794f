package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is the size of a configuration, in bytes.
const maxFile = 1 << 20

// ReadFile reads a configuration from a YAML file of at most 1 MiB, as [Parse]
// does. Its errors tell the file, the line and the field, a line for each.
func ReadFile(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	return parse(path+":", data)
}

// Parse reads a configuration from YAML. A field that is not known is an
// error, and so is a value that [New] would refuse. The files that it names are
// not looked at. Secrets in URLs are masked in errors, which tell the line and
// the field.
func Parse(data []byte) (Config, error) { return parse("line ", data) }

// parse has errors begin with at, to which the number of the line is added.
func parse(at string, data []byte) (Config, error) {
	if len(data) > maxFile {
		return Config{}, fmt.Errorf("%s1: longer than %d bytes", at, maxFile)
	}
	var document, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) { // an empty file lacks upstreams
		return Config{}, syntaxError(at, err)
	}
	if err := decoder.Decode(&more); err == nil {
		return Config{}, fmt.Errorf("%s%d: a second document; accepted: one", at, more.Line)
	} else if !errors.Is(err, io.EOF) {
		return Config{}, syntaxError(at, err)
	}
	var cfg Config
	strict := yaml.NewDecoder(bytes.NewReader(data))
	strict.KnownFields(true)
	if err := strict.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, typeErrors(at, &document, err)
	}
	var all []error
	for _, p := range cfg.problems() {
		all = append(all, fmt.Errorf("%s%d: %s", at, lineOf(&document, p.field), p))
	}
	if len(all) > 0 {
		return Config{}, errors.Join(all...)
	}
	cfg.document = &document
	return cfg, nil
}

// Line returns the line of a field such as "upstreams[0].url", or of what is
// nearest around it, in what [ReadFile] or [Parse] read; 0 if they did not.
func (c Config) Line(field string) int {
	if c.document == nil {
		return 0
	}
	return lineOf(c.document, field)
}

// syntaxError tells where a document is no YAML.
func syntaxError(at string, err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		return errors.New(at + rest)
	}
	return errors.New(at + "1: " + message)
}

// typeErrors tells what does not fit a Config, by fields instead of types of
// Go, and without values, which may be secrets.
func typeErrors(at string, document *yaml.Node, err error) error {
	types, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return syntaxError(at, err)
	}
	var all []error
	for _, message := range types.Errors {
		number, text, _ := strings.Cut(strings.TrimPrefix(message, "line "), ": ")
		line, _ := strconv.Atoi(number) // the package always tells it
		if name, ok := strings.CutPrefix(text, "field "); ok {
			name, goType, _ := strings.Cut(name, " not found in type ")
			text = fieldAt(document, "", line, name) + ": no such field; accepted: " + strings.Join(fieldsOf(goType), ", ")
		} else if into := strings.LastIndex(text, " into "); into >= 0 {
			text = fieldAt(document, "", line, "") + ": the value does not fit; accepted: " + accepted(text[into+len(" into "):])
		}
		all = append(all, fmt.Errorf("%s%d: %s", at, line, strings.TrimPrefix(text, ": ")))
	}
	return errors.Join(all...)
}

// fieldsOf returns the fields of a type of Go.
func fieldsOf(goType string) (names []string) {
	for _, t := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[Upstream](), reflect.TypeFor[ClientTLS](), reflect.TypeFor[Caller]()} {
		for i := 0; t.String() == goType && i < t.NumField(); i++ {
			if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
				names = append(names, name)
			}
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
	case goType == "time.Duration":
		return "a duration such as 30s"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	}
	return "fields with values"
}

// fieldAt returns the field in a line, such as "upstreams[0].url", or "". It
// looks into node, which is at the path; an empty name stands for any.
func fieldAt(node *yaml.Node, path string, line int, name string) string {
	switch node.Kind {
	case yaml.DocumentNode:
		if root := node.Content[0]; root.Kind == yaml.MappingNode {
			return fieldAt(root, path, line, name)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			field := strings.TrimPrefix(path+"."+key.Value, ".")
			if key.Line == line && (name == "" || key.Value == name) {
				return field
			}
			if found := fieldAt(node.Content[i+1], field, line, name); found != "" {
				return found
			}
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			if found := fieldAt(item, fmt.Sprintf("%s[%d]", path, i), line, name); found != "" {
				return found
			}
		}
	default:
		if node.Line == line && name == "" {
			return path
		}
	}
	return ""
}

// lineOf returns the line of a field such as "upstreams[0].url", or of what is
// nearest around it where there is none.
func lineOf(node *yaml.Node, field string) int {
	line := 1
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
