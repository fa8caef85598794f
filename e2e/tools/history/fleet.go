package main

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// fleet is how many services there are, and how many routes each has.
type fleet struct{ services, routes int }

// series is one series and its value at any time.
type series struct {
	labels   labels.Labels
	interval time.Duration
	age      time.Duration // how far it reaches back; 0 for all the way
	value    func(time.Time) float64
}

var codes = []string{"200", "404", "500"}

// boundaries are those of a latency histogram of otelmon, the last bucket
// included: 31.
var boundaries = []float64{
	0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.09, 0.12, 0.16, 0.2, 0.25, 0.3, 0.36, 0.44, 0.55,
	0.7, 0.85, 1, 1.2, 1.5, 2, 2.5, 3.5, 5, 7.5, 10, 15, 30, 60, math.Inf(1),
}

// recorded are the series that rules record.
func (f fleet) recorded() []series {
	var all []series
	for i := range f.services {
		service := identity(i)
		for _, name := range []string{
			"service:http_server_requests:rate5m", "service:http_server_errors:rate5m", "service:http_server_error_ratio:rate5m",
			"service:http_server_request_duration_seconds:p50_rate5m", "service:http_server_request_duration_seconds:p95_rate5m",
			"service:http_server_request_duration_seconds:p99_rate5m", "service:http_server_apdex:rate5m",
		} {
			all = append(all, wave(service.with("__name__", name), 30*time.Second, 0, i))
		}
		all = append(all, wave(service.with("__name__", "service:http_server_requests:avg1h"), 2*time.Minute, 0, i))
		for _, slo := range []string{"availability", "latency"} {
			for _, name := range []string{"slo:requests:rate5m", "slo:errors:rate5m"} {
				all = append(all, wave(service.with("__name__", name, "slo", slo), 30*time.Second, 0, i))
			}
			for _, name := range []string{"slo:requests:avg2m", "slo:errors:avg2m", "slo:error_budget_remaining:ratio30d"} {
				all = append(all, wave(service.with("__name__", name, "slo", slo), 2*time.Minute, 0, i))
			}
			for _, name := range []string{"slo:requests:avg10m", "slo:errors:avg10m"} {
				all = append(all, wave(service.with("__name__", name, "slo", slo), 10*time.Minute, 0, i))
			}
		}
		for _, le := range boundaries {
			all = append(all, wave(service.with("__name__", "service_le:http_server_request_duration_seconds_bucket:rate5m", "le", bound(le)), 30*time.Second, 24*time.Hour, i))
		}
		all = append(all, f.recordedRoutes(i)...)
	}
	return all
}

func (f fleet) recordedRoutes(service int) []series {
	var all []series
	for r := range f.routes {
		route := identity(service).with("http_route", path(r))
		for _, name := range []string{
			"service_route:http_server_requests:rate5m", "service_route:http_server_errors:rate5m", "service_route:http_server_error_ratio:rate5m",
			"service_route:http_server_request_duration_seconds:p50_rate5m", "service_route:http_server_request_duration_seconds:p95_rate5m",
			"service_route:http_server_request_duration_seconds:p99_rate5m",
		} {
			all = append(all, wave(route.with("__name__", name), 30*time.Second, 24*time.Hour, r))
		}
		for _, le := range boundaries {
			all = append(all, wave(route.with("__name__", "service_route_le:http_server_request_duration_seconds_bucket:rate5m", "le", bound(le)), 30*time.Second, 6*time.Hour, r))
		}
	}
	return all
}

// raw are the series that Prometheus takes in: counters since a day ago.
func (f fleet) raw() []series {
	const scrape = 15 * time.Second
	start := time.Now().Add(-24 * time.Hour)
	var all []series
	for i := range f.services {
		instance := identity(i).with("service_version", "1.0.0", "service_instance_id", fmt.Sprintf("instance-%d", i),
			"otelmon_metrics_path", "scrape", "job", "otelmon", "instance", fmt.Sprintf("10.0.0.%d:9464", i))
		all = append(all,
			series{labels.FromStrings(instance.with("__name__", "target_info", "cloud_region", "eu-central-1")...), scrape, 0, func(time.Time) float64 { return 1 }},
			series{labels.FromStrings(instance.with("__name__", "process_start_time_seconds")...), scrape, 0, func(time.Time) float64 { return float64(start.Unix()) }})
		for r := range f.routes {
			for c, code := range codes {
				endpoint := instance.with("http_route", path(r), "http_request_method", "GET", "http_response_status_code", code,
					"url_scheme", "http", "network_protocol_version", "1.1")
				if code == "500" {
					endpoint = endpoint.with("error_type", code)
				}
				perSecond := float64(1+r) / math.Pow(50, float64(c))
				all = append(all,
					counter(endpoint.with("__name__", "http_server_request_duration_seconds_count"), scrape, start, perSecond),
					counter(endpoint.with("__name__", "http_server_request_duration_seconds_sum"), scrape, start, perSecond*0.1))
				for _, le := range boundaries {
					all = append(all, counter(endpoint.with("__name__", "http_server_request_duration_seconds_bucket", "le", bound(le)),
						scrape, start, perSecond*share(le)))
				}
			}
		}
	}
	return all
}

// set is a set of labels to which more are added.
type set []string

func identity(service int) set {
	return set{
		"service_name", fmt.Sprintf("service-%02d", service), "service_namespace", "shop", "deployment_environment_name", "production",
	}
}

func (s set) with(pairs ...string) set { return append(s[:len(s):len(s)], pairs...) }

// wave is a gauge with a day's course.
func wave(s set, interval, age time.Duration, phase int) series {
	return series{labels.FromStrings(s...), interval, age, func(t time.Time) float64 {
		return 10 + 5*math.Sin(float64(t.Unix()+int64(phase)*3600)*2*math.Pi/86400) + math.Mod(float64(t.Unix()), 7)/10
	}}
}

func counter(s set, interval time.Duration, start time.Time, perSecond float64) series {
	return series{labels.FromStrings(s...), interval, 0, func(t time.Time) float64 {
		return math.Floor(t.Sub(start).Seconds() * perSecond)
	}}
}

// share is how much of a log-normal latency with a median of 50 ms is within a
// boundary.
func share(seconds float64) float64 {
	if math.IsInf(seconds, 1) {
		return 1
	}
	return 0.5 * math.Erfc(-math.Log(seconds/0.05)/math.Sqrt2)
}

func path(route int) string { return fmt.Sprintf("/route/%02d/{id}", route) }

func bound(le float64) string {
	if math.IsInf(le, 1) {
		return "+Inf"
	}
	return fmt.Sprint(le)
}
