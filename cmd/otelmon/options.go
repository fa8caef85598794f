package main

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/proxy"
)

// options are what the proxy runs with. What a reload can change is in the
// file; what it cannot change, the listeners, is left to flags and variables.
type options struct {
	proxy         proxy.Config
	listen        string
	metricsListen string
	tls           listenerTLS
	drain         time.Duration
}

// listenerTLS are files in PEM format.
type listenerTLS struct{ certFile, keyFile, clientCAFile string }

// sources are where options come from: flags beat variables, which beat the
// file.
type sources struct {
	flags       map[string][]string // by name of the flag
	environment environment
}

// given returns the values of a setting and how the user calls it, nothing if
// it is left to the file.
func (s sources) given(setting setting) (values []string, name string) {
	if values, ok := s.flags[setting.flag]; ok {
		return values, "--" + setting.flag
	}
	value := strings.TrimSpace(s.environment.get(setting.variable()))
	switch {
	case value == "":
		return nil, ""
	case !setting.list:
		return []string{value}, setting.variable()
	}
	for member := range strings.SplitSeq(value, ",") {
		if member = strings.TrimSpace(member); member != "" {
			values = append(values, member)
		}
	}
	return values, setting.variable()
}

// read makes the options, also for a reload. An error names the flag, the
// variable, or the file with line and field, and what is accepted.
func (s sources) read() (options, error) {
	o := options{listen: "127.0.0.1:8088", drain: 30 * time.Second}
	if path, _ := s.given(fileSetting()); len(path) > 0 {
		cfg, err := proxy.ReadFile(last(path))
		if err != nil {
			return o, err
		}
		o.proxy = cfg
	}
	for _, setting := range settings() {
		values, name := s.given(setting)
		if len(values) == 0 {
			continue
		}
		if err := setting.set(&o, values); err != nil {
			return o, wrong(name, strings.Join(values, ","), err, setting.accepted)
		}
	}
	return o, nil
}

// check finds what only shows when all flags and variables are there.
// [proxy.New] checks the rest.
func (o *options) check() error {
	missing := func(flag, reason string) error {
		return wrong("--"+flag, "", errors.New(reason), settingOf(flag).accepted)
	}
	switch {
	case len(o.proxy.Upstreams) == 0:
		return missing("upstream", "missing")
	case o.tls.certFile == "" && o.tls.keyFile != "":
		return missing("tls-cert", "missing beside --tls-key")
	case o.tls.certFile != "" && o.tls.keyFile == "":
		return missing("tls-key", "missing beside --tls-cert")
	case o.tls.clientCAFile != "" && o.tls.certFile == "":
		return missing("tls-cert", "missing beside --tls-client-ca")
	}
	return nil
}

// wrong is an error about a setting. What may hold a credential is not shown,
// and an error without a value is one that has it.
func wrong(name, value string, err error, accepted string) error {
	if value != "" {
		name += env.Shown(name, value)
	}
	return fmt.Errorf("%s: %w; accepted: %s", name, err, accepted)
}

// index is that of an upstream or of a member of a list.
var index = regexp.MustCompile(`\[\d+\]`)

// inUsersTerms has each line of an error of [proxy.New] about a configuration,
// which begins with a field, name the flag or variable that the field was given
// by, or the file with the line. Without a file it is the flag in any case.
func (s sources) inUsersTerms(err error, cfg proxy.Config) error {
	path, file := s.given(fileSetting())
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		field, reason, _ := strings.Cut(line, ": ")
		setting := settingAt(index.ReplaceAllString(field, "[]"))
		switch _, name := s.given(setting); {
		case name != "":
			line = name + ": " + reason
		case file != "":
			line = fmt.Sprintf("%s:%d: %s", last(path), cfg.Line(field), line)
		case setting.flag != "":
			line = "--" + setting.flag + ": " + reason
		}
		lines = append(lines, line)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// settingAt returns the setting of a field, or of one that belongs with it.
func settingAt(field string) setting {
	for field != "" {
		for _, s := range settings() {
			if s.key != "" && strings.HasPrefix(s.key, field) {
				return s
			}
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return setting{}
}

func setAddress(field func(*options) *string) func(*options, []string) error {
	return func(o *options, values []string) error {
		_, port, err := net.SplitHostPort(last(values))
		if err != nil {
			return errors.New("not host:port")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("not a port")
		}
		*field(o) = last(values)
		return nil
	}
}

// setUpstreams takes URLs, and prefix=URL for several.
func setUpstreams(o *options, values []string) error {
	o.proxy.Upstreams = nil
	for _, value := range values {
		u := proxy.Upstream{URL: value}
		if strings.HasPrefix(value, "/") {
			u.Prefix, u.URL, _ = strings.Cut(value, "=")
		}
		o.proxy.Upstreams = append(o.proxy.Upstreams, u)
	}
	return nil
}
