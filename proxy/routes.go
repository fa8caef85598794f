package proxy

import (
	"fmt"
	"slices"
	"strings"
)

// routes name what is called under the prefix of an upstream.
type routes struct {
	prefix    string
	templates []template
	known     map[string]string // paths of LLM APIs, to their routes
}

// template is a path in which segments are left open.
type template struct {
	route    string // with the prefix
	segments []string
	open     []bool // whether the segment may be any
	rest     bool   // any segments may follow
}

func newRoutes(prefix string, texts []string) (routes, error) {
	r := routes{prefix: prefix, known: map[string]string{}}
	for _, text := range slices.Concat(texts, deployments()) {
		t, err := parseTemplate(text)
		if err != nil {
			return routes{}, err
		}
		t.route = prefix + text
		r.templates = append(r.templates, t)
	}
	for _, path := range llmPaths() {
		r.known[path] = prefix + path
	}
	return r, nil
}

// of returns the route of a path, as it was sent, without the prefix, or "".
func (r *routes) of(path string) string {
	for i := range r.templates {
		if r.templates[i].matches(path) {
			return r.templates[i].route
		}
	}
	return r.known[path]
}

// llmCalls are the ends of the paths that package llm recognises.
func llmCalls() []string {
	return []string{"/chat/completions", "/completions", "/fim/completions", "/embeddings", "/responses", "/messages"}
}

// llmPaths returns the paths of LLM APIs where providers have them.
func llmPaths() []string {
	var paths []string
	for _, root := range []string{"", "/v1", "/beta", "/api/v1", "/openai", "/openai/v1", "/anthropic", "/anthropic/v1"} {
		for _, call := range llmCalls() {
			paths = append(paths, root+call)
		}
	}
	return paths
}

// deployments returns the templates of Azure.
func deployments() []string {
	var templates []string
	for _, call := range llmCalls() {
		templates = append(templates, "/openai/deployments/{deployment}"+call)
	}
	return templates
}

// parseTemplate returns the template of a text such as "/v1/files/{id}".
func parseTemplate(text string) (template, error) {
	const accepted = `accepted: a path such as "/v1/files/{id}" or, for all that follows, "/v1/{path...}"`
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return template{}, fmt.Errorf("%q does not begin with a slash; %s", text, accepted)
	}
	var t template
	for segment := range strings.SplitSeq(rest, "/") {
		open := strings.ContainsAny(segment, "{}")
		name, all := strings.CutSuffix(strings.TrimSuffix(strings.TrimPrefix(segment, "{"), "}"), "...")
		switch {
		case t.rest:
			return template{}, fmt.Errorf("%q has more after {...}; %s", text, accepted)
		case open && (name == "" || len(segment)-len(name) < 2 || strings.ContainsAny(name, "{}")):
			return template{}, fmt.Errorf("%q has the segment %q; %s", text, segment, accepted)
		case strings.ContainsAny(segment, "?#") || strings.ContainsFunc(segment, isBlank):
			return template{}, fmt.Errorf("%q has more than a path; %s", text, accepted)
		case open && all:
			t.rest = true
		default:
			t.segments, t.open = append(t.segments, segment), append(t.open, open)
		}
	}
	return t, nil
}

func isBlank(r rune) bool { return r <= ' ' || r == 0x7f }

// matches reports whether the path is one of the template's.
func (t *template) matches(path string) bool {
	for i, want := range t.segments {
		if path == "" {
			return false
		}
		segment := path[1:]
		if end := strings.IndexByte(segment, '/'); end >= 0 {
			segment = segment[:end]
		}
		if t.open[i] && segment == "" || !t.open[i] && segment != want {
			return false
		}
		path = path[1+len(segment):]
	}
	return (path != "") == t.rest
}
