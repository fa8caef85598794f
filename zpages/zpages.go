// Package zpages is a live page inside the service: what its metrics, traces and
// exporters say now and in the last 15 minutes, without anything but a browser.
package zpages

import (
	"embed"

	"github.com/otelmon/toolkit/otelmon"
)

// page is what the browser gets, as it is.
//
//go:embed page
var page embed.FS

// Install adds the page to cfg, before [otelmon.Setup].
func Install(cfg *otelmon.Config) {}
