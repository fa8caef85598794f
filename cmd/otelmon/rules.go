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
	"strings"

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
                            the alerts, to this folder, which has to exist; NAME
                            is the service, after its environment and namespace
                            where FILE gives them
  --check                   write nothing, and fail when a file in --out differs
  --help                    this text

The page docs/slo.md of the project describes SLO files and rules.

Exit codes: 0 fine, 1 not written or different, 2 wrong flags or files.
`

// ruleFile is one that is to be written.
type ruleFile struct {
	name    string
	content []byte
}

// rulesArguments are those of otelmon rules generate.
type rulesArguments struct {
	paths []string
	out   string
	check bool
}

// runRules is the subcommand rules.
func runRules(_ context.Context, p process, args []string) int {
	a, err := parseRules(args)
	if errors.Is(err, flag.ErrHelp) {
		p.print(rulesHelp)
		return succeeded
	}
	var files []slo.File
	if err == nil {
		files, err = readSLOs(a.paths)
	}
	if err == nil && a.out == "" {
		err = p.printRules(files)
	}
	var made []ruleFile
	if err == nil && a.out != "" {
		made, err = makeRules(files)
	}
	if err != nil {
		p.complain(strings.ReplaceAll("otelmon rules: "+err.Error(), "\n", "\notelmon rules: ") + "; see otelmon rules --help")
		return misused
	}
	for _, f := range made {
		err = errors.Join(err, f.settle(a.out, a.check))
	}
	if err != nil {
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

// readSLOs tells what is wrong in all files.
func readSLOs(paths []string) (files []slo.File, err error) {
	for _, path := range paths {
		f, wrong := slo.ReadFile(path)
		files, err = append(files, f), errors.Join(err, wrong)
	}
	return files, err
}

// printRules prints one file with the rules of all services and the alerts.
func (p process) printRules(files []slo.File) error {
	rules, err := slo.Rules(files...)
	if err != nil {
		return err
	}
	rules.Groups = append(rules.Groups, slo.Alerts().Groups...)
	content, err := rules.YAML()
	p.print(string(content))
	return err
}

// makeRules makes a file for each service and one with the alerts.
func makeRules(files []slo.File) ([]ruleFile, error) {
	if _, err := slo.Rules(files...); err != nil { // what is wrong with them together
		return nil, err
	}
	alerts, err := slo.Alerts().YAML()
	made := []ruleFile{{"slo.yml", alerts}}
	for _, f := range files {
		rules, wrong := slo.Rules(f)
		content, unwritten := rules.YAML()
		made, err = append(made, ruleFile{"slo-" + f.Name() + ".yml", content}), errors.Join(err, wrong, unwritten)
	}
	return made, err
}

// settle writes the file to a folder, or only compares it with the one there.
func (f ruleFile) settle(folder string, check bool) error {
	path := filepath.Join(folder, f.name)
	if !check {
		return os.WriteFile(path, f.content, 0o644) //nolint:gosec // Prometheus, another user, reads it
	}
	content, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(content, f.content) {
		err = fmt.Errorf("%s is not what its SLO file says; run the command without --check", path)
	}
	return err
}
