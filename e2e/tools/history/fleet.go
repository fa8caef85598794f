package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// fleet is how many services there are, how many routes each has, and the
// boundaries of their histograms.
type fleet struct {
	services, routes   int
	latency, llm, size []float64
}

// series is one series and its value at any time.
type series struct {
	labels   labels.Labels
	interval time.Duration
	age      time.Duration // how far it reaches back; 0 for all the way
	value    func(time.Time) float64
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
			all = append(all, wave(service.with("__name__", "slo:error_budget_remaining:ratio30d", "slo", slo), 2*time.Minute, 0, i))
			for _, name := range []string{"slo:requests:avg10m", "slo:errors:avg10m"} {
				all = append(all, wave(service.with("__name__", name, "slo", slo), 10*time.Minute, 0, i))
			}
		}
		for _, le := range f.latency {
			all = append(all, wave(service.with("__name__", "service_le:http_server_request_duration_seconds_bucket:rate5m", "le", bound(le)), 30*time.Second, 24*time.Hour, i))
		}
		all = append(all, f.recordedRoutes(i)...)
		all = append(all, recordedCalls(i)...)
	}
	return all
}

func (f fleet) recordedRoutes(service int) []series {
	var all []series
	for r := range f.routes {
		route := identity(service).with("http_route", path(r))
		for _, name := range []string{
			"service_route:http_server_requests:rate5m", "service_route:http_server_errors:rate5m", "service_route:http_server_error_ratio:rate5m",
			"service_route:http_server_request_duration_seconds:p99_rate5m",
		} {
			all = append(all, wave(route.with("__name__", name), 30*time.Second, 24*time.Hour, r))
		}
		for _, le := range f.latency {
			all = append(all, wave(route.with("__name__", "service_route_le:http_server_request_duration_seconds_bucket:rate5m", "le", bound(le)), 30*time.Second, 6*time.Hour, r))
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

func (s set) with(pairs ...string) set { return append(slices.Clip(s), pairs...) }

// wave is a gauge with a day's course.
func wave(s set, interval, age time.Duration, phase int) series {
	return series{labels.FromStrings(s...), interval, age, func(t time.Time) float64 {
		return 10 + 5*math.Sin(float64(t.Unix()+int64(phase)*3600)*2*math.Pi/86400) + math.Mod(float64(t.Unix()), 7)/10
	}}
}

// scrape is the distance of raw samples.
const scrape = 15 * time.Second

// gauge is about as high all the time.
func gauge(s set, level float64) series {
	return series{labels.FromStrings(s...), scrape, 0, func(t time.Time) float64 {
		return level * (1 + math.Mod(float64(t.Unix()), 7)/100)
	}}
}

func counter(s set, start time.Time, perSecond float64) series {
	return series{labels.FromStrings(s...), scrape, 0, func(t time.Time) float64 {
		return math.Floor(t.Sub(start).Seconds() * perSecond)
	}}
}

func path(route int) string { return fmt.Sprintf("/route/%02d/{id}", route) }

// bound is a boundary as rules write it.
func bound(le float64) string {
	if math.IsInf(le, 1) {
		return "+Inf"
	}
	return fmt.Sprint(le)
}
