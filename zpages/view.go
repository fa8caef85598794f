package zpages

import (
	"time"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/telemetry"
	"github.com/otelmon/toolkit/otelmon"
	"github.com/otelmon/toolkit/zpages/internal/metrics"
	"github.com/otelmon/toolkit/zpages/internal/spans"
)

// view is all that the page shows at one moment. Times are ages in seconds, so
// that neither a clock that is set nor that of the browser matters.
type view struct {
	Version string    `json:"version"`
	Now     time.Time `json:"now"`
	Uptime  float64   `json:"uptime"`
	Every   float64   `json:"every"`
	metrics.View

	Traces   spans.View `json:"traces"`
	Pushes   []push     `json:"pushes"`
	Scrape   scrape     `json:"scrape"`
	Identity []fact     `json:"identity"`
	Settings []setting  `json:"settings"`
}

type push struct {
	Signal         string           `json:"signal"`
	Address        string           `json:"address"`
	Protocol       string           `json:"protocol"`
	Up             bool             `json:"up"`
	Since          *float64         `json:"since"`
	LastError      string           `json:"last_error"`
	LastErrorAge   *float64         `json:"last_error_age"`
	Accepted       int64            `json:"accepted"`
	Acknowledged   int64            `json:"acknowledged"`
	Queued         int64            `json:"queued"`
	InFlight       int64            `json:"in_flight"`
	Lost           map[string]int64 `json:"lost"`
	QueueItems     int64            `json:"queue_items"`
	QueueBytes     int64            `json:"queue_bytes"`
	QueuedBytes    int64            `json:"queued_bytes"`
	LastSuccessAge *float64         `json:"last_success_age"`
}

type scrape struct {
	URL     string   `json:"url"`
	Scrapes int64    `json:"scrapes"`
	LastAge *float64 `json:"last_age"`
}

type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type setting struct {
	Name    string         `json:"name"`
	Value   string         `json:"value"`
	Origin  otelmon.Origin `json:"origin"`
	Field   string         `json:"field"`
	Problem string         `json:"problem"`
}

func (p *page) view(now time.Time, q metrics.Query) view {
	status := p.sdk.Load().Status()
	v := view{
		Version:  telemetry.Version,
		Now:      now.UTC().Round(time.Millisecond),
		Uptime:   now.Sub(p.started).Seconds(),
		Every:    watched.Seconds(),
		View:     p.metrics.View(now, q),
		Traces:   p.spans.View(now),
		Pushes:   make([]push, 0, len(status.Pushes)),
		Scrape:   scrape{status.Scrape.URL, status.Scrape.Scrapes, age(now, status.Scrape.LastScrape)},
		Identity: []fact{},
		Settings: make([]setting, 0, len(status.Settings)),
	}
	v.Cardinality.Limit = status.CardinalityLimit
	for _, s := range status.Pushes {
		v.Pushes = append(v.Pushes, pushOf(s, now))
	}
	if status.Resource != nil {
		for _, kv := range status.Resource.Attributes() {
			v.Identity = append(v.Identity, fact{string(kv.Key), kv.Value.String()})
		}
	}
	for _, s := range status.Settings {
		v.Settings = append(v.Settings, setting(s))
	}
	return v
}

func pushOf(s exporters.PushStatus, now time.Time) push {
	lost := s.Lost
	if lost == nil {
		lost = map[string]int64{}
	}
	return push{
		Signal: s.Signal, Address: s.Address, Protocol: s.Protocol,
		Up: s.Up, Since: age(now, s.Since), LastError: s.LastError, LastErrorAge: age(now, s.LastErrorTime),
		Accepted: s.Accepted, Acknowledged: s.Acknowledged, Queued: s.Queued, InFlight: s.InFlight, Lost: lost,
		QueueItems: s.QueueItems, QueueBytes: s.QueueBytes, QueuedBytes: s.QueuedBytes,
		LastSuccessAge: age(now, s.LastSuccess),
	}
}

// age returns how long ago something was, nil if it never was.
func age(now, at time.Time) *float64 {
	if at.IsZero() {
		return nil
	}
	seconds := max(now.Sub(at).Seconds(), 0)
	return &seconds
}
