package doctor

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

// promSettings are how a Prometheus runs, as far as it tells.
type promSettings struct {
	flags  map[string]string // nil when not known
	config struct {
		Global struct {
			ScrapeProtocols []string `yaml:"scrape_protocols"`
		}
		Storage struct {
			TSDB struct {
				Window string `yaml:"out_of_order_time_window"`
			}
		}
		known bool
	}
	runtime struct {
		ReloadConfigSuccess *bool
		LastConfigTime      time.Time
	}
}

// maxYAMLBytes is more than a configuration has; the tree that is made of it is a
// hundred times as large.
const maxYAMLBytes = 1 << 20

func (p promAPI) settings(ctx context.Context) promSettings {
	var (
		s       promSettings
		config  struct{ YAML string }
		running sync.WaitGroup
	)
	for path, data := range map[string]any{"status/flags": &s.flags, "status/config": &config, "status/runtimeinfo": &s.runtime} {
		running.Go(func() {
			_, _ = p.get(ctx, path, nil, data) // what cannot be had is not known
		})
	}
	running.Wait()
	s.config.known = config.YAML != "" && len(config.YAML) <= maxYAMLBytes && yaml.Unmarshal([]byte(config.YAML), &s.config) == nil
	return s
}

// has says that a feature is on; one that cannot be known is taken to be.
func (s promSettings) has(feature string) bool {
	return s.flags == nil || slices.Contains(strings.Split(s.flags["enable-feature"], ","), feature)
}

func (s promSettings) findings() []Finding {
	switch {
	case s.runtime.ReloadConfigSuccess == nil:
		return nil
	case *s.runtime.ReloadConfigSuccess:
		return []Finding{promFinding("configuration", OK, "runs the configuration that it loaded last", "")}
	}
	return []Finding{promFinding("configuration", Failure,
		fmt.Sprintf("could not load its configuration again, and runs that of %s", s.runtime.LastConfigTime.UTC().Format(time.RFC3339)),
		"Run promtool check config on it: the file or one of its rule files has an error, which the log tells too.")}
}

// takesExemplars says that some format that is asked of targets has exemplars.
func (s promSettings) takesExemplars() bool {
	protocols := s.config.Global.ScrapeProtocols
	return len(protocols) == 0 || slices.ContainsFunc(protocols, func(p string) bool { return !strings.HasPrefix(p, "PrometheusText") })
}

// pushed says whether and how long Prometheus takes what is pushed.
func (s promSettings) pushed() []Finding {
	var found []Finding
	if s.flags != nil && s.flags["web.enable-otlp-receiver"] != "true" {
		found = append(found, promFinding("otlp-receiver", Warning, "the receiver of OTLP is off",
			"Start Prometheus with --web.enable-otlp-receiver, unless metrics come by remote write."))
	}
	window := s.config.Storage.TSDB.Window
	switch {
	case !s.config.known:
	case window == "" || window == "0s":
		found = append(found, promFinding("out-of-order", Warning, "no time window for samples that are not in order, so that what a Collector delivers late is refused",
			"Set storage.tsdb.out_of_order_time_window to 1d."))
	default:
		found = append(found, promFinding("out-of-order", OK, "takes samples not in order for "+printable(window), ""))
	}
	return found
}

// A promTarget is what Prometheus scrapes.
type promTarget struct {
	Labels                       map[string]string
	ScrapeURL, Health, LastError string
}

// targets looks for targets that cannot be scraped. What is to be seen of a
// service is looked at by services.
func (p promAPI) targets(ctx context.Context, cfg Config) []Finding {
	var data struct{ ActiveTargets []promTarget }
	if _, err := p.get(ctx, "targets", url.Values{"state": {"active"}}, &data); err != nil {
		return []Finding{promFailed("targets", err)}
	}
	var down []string
	level := Warning
	for _, target := range data.ActiveTargets {
		if target.Health != "down" {
			continue
		}
		down = append(down, target.String())
		if samePage(target.ScrapeURL, cfg.MetricsURL) {
			level = Failure
		}
	}
	if len(down) == 0 {
		return []Finding{promFinding("targets", OK, fmt.Sprintf("%d targets, none is down", len(data.ActiveTargets)), "")}
	}
	return []Finding{promFinding("targets", level,
		fmt.Sprintf("%d of %d targets down: %s", len(down), len(data.ActiveTargets), listed(down)),
		"Open these addresses from the host of Prometheus; those that are gone for good leave the configuration.")}
}

// String is without the credentials that a URL may have, in the error as well.
func (t promTarget) String() string {
	reason := requestOfError.ReplaceAllString(t.LastError, "")
	return fmt.Sprintf("%s of job %s: %s", printable(shown(t.ScrapeURL)), printable(t.Labels["job"]), printable(reason))
}

// requestOfError is what net/http puts before the error of a request.
var requestOfError = regexp.MustCompile(`^[A-Z][a-z]+ "[^"]*": `)

// samePage says that two URLs lead to the same address.
func samePage(a, b string) bool {
	left, err := url.Parse(a)
	right, other := url.Parse(b)
	return err == nil && other == nil && left.Host != "" && left.Host == right.Host
}
