package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/slo"
)

const rulesHelp = `Usage: otelmon rules generate FILE... [flags]

Makes rules of Prometheus from SLO files, one file a service: what they record
for the SLOs, and the alerts when an error budget burns. Prints one rule file
with all of it, or writes it to a folder.

Examples:
  otelmon rules generate slo.yaml > rules.yml
  otelmon rules generate slo/*.yaml --out /etc/prometheus/rules
  otelmon rules generate slo/*.yaml --out rules --check

Flags:
  --out DIR                 write slo-NAME.yml for each FILE, and slo.yml with
                            what is the same for all, to this folder, which has
                            to exist; NAME is the service, after its environment
                            and namespace where FILE gives them
  --check                   write nothing, and fail when a file in --out differs
                            or is of an SLO file that is not given
  --grafana URL             what alerts link to (default http://localhost:3000)
  --help                    this text

The page docs/slo.md of the project describes SLO files and rules.

Exit codes: 0 fine, 1 not written or different, 2 wrong flags or files.
`

// madeByThis is how rule files begin that this command has written.
const madeByThis = "# Made by otelmon rules generate"

// ruleFile is one that is to be written; without a name it is to be printed.
type ruleFile struct {
	name    string
	content []byte
	of      slo.File // whose requests it counts; none for what is the same for all
}

// rulesArguments are those of otelmon rules generate.
type rulesArguments struct {
	paths        []string
	out, grafana string
	check        bool
}

// runRules is the subcommand rules.
func runRules(_ context.Context, p process, args []string) int {
	a, err := parseRules(args)
	if errors.Is(err, flag.ErrHelp) {
		p.print(rulesHelp)
		return succeeded
	}
	var made []ruleFile
	if err == nil {
		made, err = a.make()
	}
	if err != nil {
		p.complain(strings.ReplaceAll("otelmon rules: "+err.Error(), "\n", "\notelmon rules: ") + "; see otelmon rules --help")
		return misused
	}
	if err := p.settle(a, made); err != nil {
		p.complain(strings.ReplaceAll("otelmon rules: "+err.Error(), "\n", "\notelmon rules: "))
		return failed
	}
	return succeeded
}

// parseRules takes flags before, between and after files.
func parseRules(args []string) (a rulesArguments, err error) {
	flags := flag.NewFlagSet("otelmon rules", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.out, "out", "", "")
	flags.BoolVar(&a.check, "check", false, "")
	flags.StringVar(&a.grafana, "grafana", "http://localhost:3000", "")
	var words []string
	for rest := args; ; {
		if err := flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return a, err
			}
			return a, errors.New(twoDashes.Replace(err.Error()))
		}
		if flags.NArg() == 0 {
			break
		}
		words, rest = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	switch {
	case len(words) == 0:
		return a, errors.New("no command; accepted: generate")
	case words[0] != "generate":
		return a, fmt.Errorf("unknown command %q; accepted: generate", words[0])
	case len(words) == 1:
		return a, errors.New("no file; accepted: SLO files in YAML")
	case a.check && a.out == "":
		return a, errors.New("--out: missing beside --check; accepted: a folder with rule files")
	}
	a.paths = words[1:]
	return a, nil
}

// make makes a file for each service and one with what is the same for all; or,
// to be printed, one file with everything.
func (a rulesArguments) make() ([]ruleFile, error) {
	files, err := readSLOs(a.paths)
	if err != nil {
		return nil, err
	}
	all, err := slo.Rules(files...) // tells what is wrong with them together
	if err != nil {
		return nil, err
	}
	common, err := slo.Common(a.grafana)
	if err != nil {
		return nil, fmt.Errorf("--grafana: %w", err)
	}
	if a.out == "" {
		all.Groups = append(all.Groups, common.Groups...)
		content, err := all.YAML()
		return []ruleFile{{content: content}}, err
	}
	content, err := common.YAML()
	made := []ruleFile{{name: "slo.yml", content: content}}
	for _, f := range files {
		rules, wrong := slo.Rules(f)
		content, unwritten := rules.YAML()
		made, err = append(made, ruleFile{"slo-" + f.Name() + ".yml", content, f}), errors.Join(err, wrong, unwritten)
	}
	return made, err
}

// readSLOs tells what is wrong in all files.
func readSLOs(paths []string) (files []slo.File, err error) {
	for _, path := range paths {
		f, wrong := slo.ReadFile(path)
		files, err = append(files, f), errors.Join(err, wrong)
	}
	return files, err
}

// settle prints or writes what was made, or compares it with what is there.
func (p process) settle(a rulesArguments, made []ruleFile) error {
	if a.out == "" {
		if _, err := p.stdout.Write(made[0].content); err != nil {
			return fmt.Errorf("printing rules: %w", err)
		}
		return nil
	}
	others, err := otherRules(a.out, made)
	if err != nil {
		return err
	}
	if a.check {
		for _, other := range others {
			err = errors.Join(err, fmt.Errorf("%s is of an SLO file that was not given; give that too, or remove it", filepath.Join(a.out, other.name)))
		}
		for _, f := range made {
			err = errors.Join(err, f.compare(a.out))
		}
		return err
	}
	if err := clashes(a.out, others, made); err != nil {
		return err
	}
	for _, f := range made {
		err = errors.Join(err, f.write(a.out))
	}
	return err
}

// otherRules returns those in a folder that this command has made of SLO files
// that it does not know now.
func otherRules(folder string, made []ruleFile) (others []ruleFile, err error) {
	paths, err := filepath.Glob(filepath.Join(folder, "slo-*.yml"))
	for _, path := range paths {
		name := filepath.Base(path)
		if slices.ContainsFunc(made, func(f ruleFile) bool { return f.name == name }) {
			continue
		}
		content, unread := os.ReadFile(path)
		if unread != nil || !bytes.HasPrefix(content, []byte(madeByThis)) {
			err = errors.Join(err, unread)
			continue
		}
		of, unknown := serviceOf(content)
		if unknown != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", path, unknown))
			continue
		}
		others = append(others, ruleFile{name, content, of})
	}
	if err != nil {
		return nil, fmt.Errorf("reading other rules: %w", err)
	}
	return others, nil
}

// serviceOf tells whose rules a file has: all of them have its labels.
func serviceOf(content []byte) (f slo.File, err error) {
	var rules slo.RuleFile
	err = yaml.Unmarshal(content, &rules)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			f.Service, f.Namespace, f.Environment = r.Labels["service_name"], r.Labels["service_namespace"], r.Labels["deployment_environment_name"]
		}
	}
	return f, err
}

// clashes returns an error when files in a folder count the same requests.
func clashes(folder string, others, made []ruleFile) (err error) {
	for _, other := range others {
		for _, f := range made {
			if f.of.Service != "" && f.of.Overlaps(other.of) {
				err = errors.Join(err, fmt.Errorf("%s records the same as %s would; remove it, or change environment or namespace",
					filepath.Join(folder, other.name), f.name))
			}
		}
	}
	return err
}

// compare tells whether the file in a folder is another.
func (f ruleFile) compare(folder string) error {
	path := filepath.Join(folder, f.name)
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("comparing rules: %w", err)
	}
	if !bytes.Equal(content, f.content) {
		return fmt.Errorf("%s is not what its SLO file says; run the command without --check", path)
	}
	return nil
}

// write replaces the file in a folder at once, so that a Prometheus that reloads
// reads the old one or the new one. The name of the one beside does not end as
// those of rules do.
func (f ruleFile) write(folder string) error {
	beside, err := os.CreateTemp(folder, f.name+".*")
	if err == nil {
		_, err = beside.Write(f.content)
		err = errors.Join(err, beside.Chmod(0o644), beside.Close()) // Prometheus, another user, reads it
		if err == nil {
			err = os.Rename(beside.Name(), filepath.Join(folder, f.name))
		}
		if err != nil {
			_ = os.Remove(beside.Name())
		}
	}
	if err != nil {
		return fmt.Errorf("writing rules: %w", err)
	}
	return nil
}
