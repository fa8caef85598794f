package main

import (
	"fmt"
	"strings"
)

// width is that of a terminal, indent that of what flags mean.
const (
	width  = 80
	indent = 28
)

const proxyIntroduction = `Usage: otelmon proxy --upstream URL [flags]

Passes requests on to HTTP APIs and measures them: rate, errors and duration of
all, and models, tokens, cost and first-token time of calls of LLM APIs. Point
the base URL of a program at it, and Prometheus at its /metrics.

Examples:
  otelmon proxy --upstream https://api.deepseek.com
  otelmon proxy --upstream /deepseek=https://api.deepseek.com \
                --upstream /openai=https://api.openai.com
  otelmon proxy --config proxy.yaml

`

const proxyClosing = `Each flag has a variable: that of --upstream-timeout is called
OTELMON_PROXY_UPSTREAM_TIMEOUT; lists in it are separated by commas. Flags win
over variables, and those over the file. Variables that begin with OTEL_ say
where telemetry goes. SIGHUP reads all files again, SIGTERM drains.

Exit codes: 0 fine, 1 failed while running, 2 wrong flags, variables or files.
`

func proxyHelp() string {
	var b strings.Builder
	b.WriteString(proxyIntroduction)
	groups := []struct {
		title    string
		settings []setting
	}{
		{"Upstreams", upstreamSettings()},
		{"Measuring", measuringSettings()},
		{"Callers", callerSettings()},
		{"Listening", append(listenerSettings(), listenerTLSSettings()...)},
		{"Others", []setting{fileSetting(), {flag: "help", meaning: "this text"}, {flag: "version", meaning: "the version"}}},
	}
	for _, group := range groups {
		b.WriteString(group.title + ":\n")
		for _, s := range group.settings {
			b.WriteString(s.help())
		}
		b.WriteByte('\n')
	}
	b.WriteString(proxyClosing)
	return b.String()
}

func (s setting) help() string {
	meaning := s.meaning
	if s.list {
		meaning += "; repeatable"
	}
	if s.byDefault != "" && s.argument != "" {
		meaning += " (default " + s.byDefault + ")"
	}
	head := strings.TrimRight("  --"+s.flag+" "+s.argument, " ")
	return fmt.Sprintf("%-*s%s\n", indent, head, wrap(meaning))
}

// wrap breaks a text into lines that begin at the indent.
func wrap(text string) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
