// Package slo turns the service level objectives of a service into rules of
// Prometheus. One small YAML file a service, which docs/slo.md describes, becomes
// recorded series; their windows and the alerts, [Common], are the same for all
// services.
package slo

import (
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/yamlfile"
)

//go:generate go run ../cmd/otelmon rules generate --out ../deploy/prometheus/rules ../deploy/slo/llm-proxy.yaml ../deploy/slo/quickstart.yaml

// File is the SLOs of one service. [ReadFile] and [Parse] return valid ones;
// [Rules] checks those made in code.
type File struct {
	// Service is service.name, required. Environment and Namespace are
	// deployment.environment.name and service.namespace; left out, each of the
	// service's has the same SLOs, for itself. At most 80 bytes, printable.
	Service     string `yaml:"service"`
	Environment string `yaml:"environment"`
	Namespace   string `yaml:"namespace"`

	// LatencyObjectives are those of the service's otelmon.Config, which makes
	// each a boundary of its histograms. Default: as there, 250 ms and 1 s.
	LatencyObjectives []time.Duration `yaml:"latency_objectives"`
	// Boundaries, in seconds, are those of http.server.request.duration in a
	// service where something else chooses them, instead of LatencyObjectives.
	Boundaries []float64 `yaml:"boundaries"`

	// SLOs has at least one element, unless LLMBudgets has.
	SLOs []SLO `yaml:"slos"`
	// LLMBudgets has at most one element per currency.
	LLMBudgets []LLMBudget `yaml:"llm_budgets"`
}

// SLO is a promise about the requests of 30 days: that they succeed or, with
// Latency, that they are answered within it.
type SLO struct {
	// Name is the label slo: letters, digits, ".", "_" and "-", at most 64 of
	// them, unique in its file.
	Name string `yaml:"name"`
	// Description is for readers; it becomes a comment.
	Description string `yaml:"description"`
	// Objective is the share of good requests in percent, from 50 to 99.999.
	Objective float64 `yaml:"objective"`
	// Latency makes it an SLO of latency, and has to be a boundary of the
	// service. Failed requests count as any other there, and streams not at all.
	Latency time.Duration `yaml:"latency"`
	// Routes are the values of http.route that it is about. Default: all of them.
	Routes []string `yaml:"routes"`
}

// LLMBudget is what calls of LLM APIs may cost in 24 hours.
type LLMBudget struct {
	// Currency is an ISO 4217 code, that of the price book.
	Currency string `yaml:"currency"`
	// PerDay is above 0, in units of the currency.
	PerDay float64 `yaml:"per_day"`
}

// ReadFile reads a YAML file of at most 1 MiB, as [Parse] does. Its errors tell
// the file, the line and the field, a line for each.
func ReadFile(path string) (File, error) {
	var f File
	document, err := yamlfile.Read(path, &f)
	return f.checked(document, err)
}

// Parse reads YAML. A field that is not known is an error, and so is a value
// that [Rules] would refuse. Errors tell the line and the field, a line for each.
func Parse(data []byte) (File, error) {
	var f File
	document, err := yamlfile.Parse(data, &f)
	return f.checked(document, err)
}

// checked returns the file if it could be read and is right.
func (f File) checked(document *yamlfile.Document, err error) (File, error) {
	if err == nil {
		err = document.Error(f.problems())
	}
	if err != nil {
		return File{}, err
	}
	return f, nil
}

// Name returns that of the service in files and groups: the environment, the
// namespace and the service as far as they are given, such as "prod-shop-cart",
// with "_" in place of what is unfit for a file.
func (f File) Name() string {
	var parts []string
	for _, part := range []string{f.Environment, f.Namespace, f.Service} {
		if part != "" {
			parts = append(parts, strings.Map(fitForFiles, part))
		}
	}
	return strings.Join(parts, "-")
}

func fitForFiles(r rune) rune {
	if strings.ContainsRune(nameCharacters, r) {
		return r
	}
	return '_'
}

// Overlaps reports whether a request could count for both files, or their rules
// would have the same name.
func (f File) Overlaps(other File) bool {
	same := func(a, b string) bool { return a == b || a == "" || b == "" }
	return f.Name() == other.Name() ||
		f.Service == other.Service && same(f.Environment, other.Environment) && same(f.Namespace, other.Namespace)
}
