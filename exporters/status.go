package exporters

import "time"

// PushStatus is how the push of one signal goes at one moment.
type PushStatus struct {
	// Signal is traces, metrics or logs.
	Signal string
	// Address is host:port; Protocol is grpc or http/protobuf.
	Address, Protocol string
	// Up reports whether the last attempt was answered, and Since when that
	// began: zero while there was no attempt yet.
	Up    bool
	Since time.Time
	// LastError is the latest reason why something was not delivered, also when
	// that is over, and LastErrorTime when it was.
	LastError     string
	LastErrorTime time.Time
	// Accepted = Acknowledged + Queued + InFlight + the sum of Lost, in spans,
	// log records or data points. Lost is by reason, as in error.type.
	Accepted, Acknowledged, Queued, InFlight int64
	Lost                                     map[string]int64
	// QueueItems and QueueBytes are as much as may wait, 0 for metrics, and
	// QueuedBytes what does.
	QueueItems, QueueBytes, QueuedBytes int64
	// LastSuccess is when the Collector last took something, or else the start.
	LastSuccess time.Time
}

// Status returns how the push of each signal goes.
func (p *OTLPPipeline) Status() []PushStatus { return nil }

// ScrapeStatus is how the metrics page is asked for.
type ScrapeStatus struct {
	// URL of the page, "" when none is served.
	URL string
	// Guarded reports whether only this machine, or those with credentials or a
	// client certificate, can reach the listener.
	Guarded bool
	// Scrapes counts the pages that were asked for, and LastScrape is when that
	// last was.
	Scrapes    int64
	LastScrape time.Time
}

// Status returns how the metrics page is asked for.
func (s *PrometheusServer) Status() ScrapeStatus { return ScrapeStatus{} }
