package main

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Not parallel: it measures.
func TestOutagesHaveALineEach(t *testing.T) {
	const rounds, length = 1, 200 * time.Millisecond
	outages, err := compareOutages(t.Context(), rounds, length)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outages {
		if o.failed != 0 || o.requests != (rounds+1)*100 || len(o.p50) != rounds || len(o.p99) != rounds {
			t.Errorf("%s: %d of %d failed in %d rounds", o.name, o.failed, o.requests, len(o.p99))
		}
	}
	_, table, _ := strings.Cut(outageSection(outages, rounds, length), "--: |\n")
	if got := strings.Count(table, "\n"); got != len(outages) {
		t.Errorf("%d lines for %d services", got, len(outages))
	}
}

// The queues are full where they should be, and nowhere else.
func TestOutagesAreWhatTheySay(t *testing.T) {
	to, err := startCollector(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outages, err := startOutages(t.Context(), to)
	if err != nil {
		t.Error(err)
	}
	for _, o := range outages {
		page := metricsOf(t, o)
		lost := sum(t, page, `otel_sdk_processor_span_processed_total\{.*error_type="queue_full".*\} (.*)`)
		exported := sum(t, page, `otel_sdk_exporter_span_exported_total\{.*\} (.*)`)
		if away := o.target > 0; away != (lost > 0) || away != (exported == 0) {
			t.Errorf("%s: %v spans lost, %v exported", o.name, lost, exported)
		}
		if err := o.service.stop(); err != nil {
			t.Error(err)
		}
	}
	if err := to.stop(); err != nil {
		t.Error(err)
	}
}

func metricsOf(t *testing.T, o *outage) string {
	t.Helper()
	response, err := http.Get("http://" + o.service.addresses[0] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// sum adds the values of the series that match.
func sum(t *testing.T, page, pattern string) (all float64) {
	t.Helper()
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(page, -1) {
		value, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		all += value
	}
	return all
}
