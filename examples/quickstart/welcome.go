package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages"
)

// welcome says what there is to look at.
func welcome(w io.Writer, o options, base string, sdk *otelmon.SDK) {
	metricsURL := sdk.MetricsURL()
	load, end := "no requests of its own", "until Ctrl-C"
	if o.load > 0 {
		load = fmt.Sprintf("%d requests a second of its own", o.load)
	}
	if o.duration > 0 {
		end = "for " + o.duration.String()
	}
	say(w, `
  page      %[6]s
  shop      %[1]s
  metrics   %[2]s
  traces    pushed to %[3]s, with metrics and logs
  load      %[4]s, %[5]s

Try:

  curl %[1]s/products/7
  curl %[1]s/orders -d '{"product":"7","quantity":2}'
  curl '%[1]s/slow?delay=300ms'
`, base, cmp.Or(metricsURL, "not served, see the log"), cmp.Or(sdk.OTLPEndpoint(), "nowhere"), load, end,
		cmp.Or(zpages.URL(sdk), "not served, see the log"))
	if metricsURL != "" {
		say(w, "  curl -s %s | grep -E '^(shop_orders|http_server_request_duration_seconds_count)'\n", metricsURL)
	}
	say(w, "\n")
}

// say ignores errors: a terminal that is gone has nobody to be told.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
