package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
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
	defer f.Close()
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
	var cfg Config
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) { // an empty file lacks upstreams
		return Config{}, located(at, err)
	}
	var more yaml.Node
	if err := decoder.Decode(&more); err == nil {
		return Config{}, fmt.Errorf("%s%d: a second document; accepted: one", at, more.Line)
	} else if !errors.Is(err, io.EOF) {
		return Config{}, located(at, err)
	}
	found := cfg.problems()
	if len(found) == 0 {
		return cfg, nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return Config{}, located(at, err)
	}
	var all []error
	for _, p := range found {
		all = append(all, fmt.Errorf("%s%d: %s", at, lineOf(&document, p.field), p))
	}
	return Config{}, errors.Join(all...)
}

// located tells errors of package yaml as those of this package.
func located(at string, err error) error {
	messages := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if types, ok := errors.AsType[*yaml.TypeError](err); ok {
		messages = types.Errors
	}
	var all []error
	for _, message := range messages {
		if field, _, ok := strings.Cut(message, " not found in type "); ok { // the rest names types of Go
			message = strings.Replace(field, "field ", "unknown field ", 1)
		}
		if rest, ok := strings.CutPrefix(message, "line "); ok {
			all = append(all, errors.New(at+rest))
		} else {
			all = append(all, errors.New(at+"1: "+message))
		}
	}
	return errors.Join(all...)
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
	}
	return nil, 0
}
