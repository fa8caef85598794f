package exporters

import (
	"net"
	"time"
)

// PushStatus is how the push of one signal goes at one moment.
type PushStatus struct {
	// Signal is traces, metrics or logs.
	Signal string
	// Address is host:port; Protocol is grpc or http/protobuf.
	Address, Protocol string
	// Up reports whether the last attempt was acknowledged, in whole or in part,
	// and Since when that began: zero while there was no attempt yet. A peer that
	// refuses, such as for missing credentials, is not up.
	Up    bool
	Since time.Time
	// LastError is what the latest attempt said that was not taken in whole, also
	// when that is over, and LastErrorTime when it was. It is one line of at most
	// some 500 bytes, without the values of headers. What was dropped without an
	// attempt is in Lost alone, unless it was metrics.
	LastError     string
	LastErrorTime time.Time
	// Accepted = Acknowledged + Queued + InFlight + the sum of Lost, in spans,
	// log records or data points. Lost is by reason, as in error.type, and never
	// nil. Data points that an export missed and the next one carries again are
	// accepted with that one: Accepted goes back by as many.
	Accepted, Acknowledged, Queued, InFlight int64
	Lost                                     map[string]int64
	// QueueItems is how many may wait, and QueueBytes the memory of those that
	// wait or are in flight, of which QueuedBytes is used. All are 0 for metrics.
	QueueItems, QueueBytes, QueuedBytes int64
	// LastSuccess is when the Collector last took something, or else the start.
	LastSuccess time.Time
}

// Status returns how the push of each signal goes: traces, metrics and logs,
// without those that are disabled or could not be started.
func (p *OTLPPipeline) Status() []PushStatus {
	var all []PushStatus
	for _, part := range p.parts {
		all = append(all, part.status())
	}
	return all
}

func (p *part) status() PushStatus {
	health, c := p.gate.transport.health, p.ledger.snapshot()
	attempts := health.attemptsOf(p.gate.signal)
	s := PushStatus{
		Signal:        p.gate.signal,
		Address:       health.address,
		Protocol:      p.sender.settings.endpoint.protocol,
		Up:            attempts.up,
		Since:         attempts.since,
		LastError:     attempts.problem,
		LastErrorTime: attempts.problemAt,
		Accepted:      c.accepted,
		Acknowledged:  c.acknowledged,
		Queued:        c.queued,
		InFlight:      c.inflight,
		Lost:          c.lostByReason(),
		QueuedBytes:   c.queueBytes,
		LastSuccess:   c.lastSuccess,
	}
	for _, n := range c.missed {
		s.Accepted -= n
	}
	if p.queue != nil {
		s.QueueItems, s.QueueBytes = int64(p.queue.items), int64(p.queue.bytes)
	}
	return s
}

// ScrapeStatus is how the metrics page is asked for.
type ScrapeStatus struct {
	// URL of the page, see [PrometheusServer.URL].
	URL string
	// Local reports whether only this machine can reach the listener: it is on
	// loopback, or a Unix socket. Who else is let in by what stands before it is
	// not known here.
	Local bool
	// Password reports whether the web configuration file, as it is now, names
	// users, so that each request has to come from one of them.
	Password bool
	// ClientCAs reports whether it names authorities that the certificates of
	// clients are verified against: a request that has [tls.ConnectionState]'s
	// VerifiedChains is then of somebody who is known. A connection may be older
	// than the file.
	ClientCAs bool
	// Scrapes counts the pages that were asked for, of the listener and of
	// [PrometheusServer.Handler], and LastScrape is when that last was.
	Scrapes    int64
	LastScrape time.Time
}

// Status returns how the metrics page is asked for. Safe for concurrent use.
func (s *PrometheusServer) Status() ScrapeStatus {
	s.pages.mu.Lock()
	asked, at := s.pages.asked, s.pages.askedAt
	s.pages.mu.Unlock()
	status := ScrapeStatus{URL: s.URL(), Local: s.local(), Scrapes: asked, LastScrape: at}
	if config, err := readWebConfig(s.webConfig); err == nil {
		clients := config.TLSConfig
		status.Password = len(config.Users) > 0
		status.ClientCAs = clients.ClientCAs != "" || clients.ClientCAsText != ""
	}
	return status
}

func (s *PrometheusServer) local() bool {
	if s.listener == nil {
		return false
	}
	_, unix := s.listener.Addr().(*net.UnixAddr)
	return unix || s.Loopback()
}
