package exporters

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Limits of the metrics page. Scrapers in Prometheus' usual rhythm meet none.
const (
	// pageTimeout bounds how long a scrape waits for its page, as long as
	// Prometheus does by default.
	pageTimeout = 10 * time.Second
	// readTimeout bounds how long a scraper takes to read its page.
	readTimeout = 15 * time.Second
	// crowd is how many scrapes must be under way for a page to be served that
	// was rendered before they came, up to reuse ago. Fewer always get values
	// of their own time, as a test that scrapes twice in a row expects.
	crowd = 4
	reuse = 250 * time.Millisecond
	// heldPages and heldBytes bound the pages that slow readers hold. Both must
	// be exceeded for the readers of the oldest page to be cut off, so that a
	// few scrapers of a giant page do not cut each other off.
	heldPages = 3
	heldBytes = 8 << 20
)

// offered are the formats that Prometheus asks for, by preference. Each costs a
// rendering of its own, so others are not.
func offered() []expfmt.Format {
	return []expfmt.Format{expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1, expfmt.FmtProtoDelim, expfmt.FmtText}
}

// variant is what pages of one time differ in; there are six.
type variant struct {
	format expfmt.FormatType
	gzip   bool
}

// page is an answer, or the promise of one.
type page struct {
	variant
	rendered chan struct{} // closed when body, err and at are there
	body     []byte
	err      error
	at       time.Time

	users   int                                   // scrapes that wait for it or read it
	readers map[*http.ResponseController]struct{} // the latter
	cut     bool                                  // nobody is to read it any more
}

// stale reports whether a crowd should get another page, of those rendered.
func (p *page) stale() bool {
	return !p.at.IsZero() && (p.err != nil || p.cut || time.Since(p.at) > reuse)
}

// pages answers scrapes. Those who ask while a page is rendered share it, and
// one page is rendered at a time, as the SDK collects one at a time: however
// many ask, one core is busy and one collection is held in memory. Safe for
// concurrent use.
type pages struct {
	gather   func() ([]*dto.MetricFamily, error)
	failures *failures
	conns    *connections // of the listener, if there is one

	rendering chan struct{}             // takes one, which may use
	lengths   map[expfmt.FormatType]int // of the latest pages

	mu      sync.Mutex
	scrapes int // under way
	asked   int64
	askedAt time.Time         // the last one
	latest  map[variant]*page // to join or to serve again
	held    []*page           // all that are rendered and not given up, oldest first
}

func newPages(gather func() ([]*dto.MetricFamily, error), counted *failures) *pages {
	return &pages{
		gather:    gather,
		failures:  counted,
		rendering: make(chan struct{}, 1),
		lengths:   make(map[expfmt.FormatType]int),
		latest:    make(map[variant]*page),
	}
}

// ServeHTTP answers a scrape. Of the request nothing counts but its method and
// the format and encoding that it accepts.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := http.NewResponseController(w)
	_ = to.SetWriteDeadline(time.Now().Add(pageTimeout + readTimeout)) // what takes no deadline is gone, or a test
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Metrics are read by GET.", http.StatusMethodNotAllowed)
		return
	}
	// The exporter has escaped the names, whatever the scraper could do without.
	format := expfmt.NegotiateAccept(r.Header, offered()...).WithEscapingScheme(model.UnderscoreEscaping)
	header := w.Header()
	header.Set("Content-Type", string(format))
	header.Set("Vary", "Accept, Accept-Encoding")
	v := variant{format.FormatType(), acceptsGzip(r.Header)}
	ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
	defer cancel()
	p.enter()
	defer p.leave()
	for answered := false; !answered; {
		answered = p.answer(ctx, w, r, p.join(v))
	}
}

// acceptsGzip reads Accept-Encoding, see RFC 9110, section 12.5.3.
func acceptsGzip(header http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		name, weight, weighed := strings.Cut(strings.ReplaceAll(strings.ToLower(coding), " ", ""), ";q=")
		if name == "gzip" {
			q, err := strconv.ParseFloat(weight, 64)
			return !weighed || err == nil && q > 0
		}
	}
	return false
}

// answer waits for the page and writes it. It is false when the page was cut
// before, so that there must be another.
func (p *pages) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, at *page) bool {
	defer p.giveBack(at)
	if !p.wait(ctx, at) {
		if r.Context().Err() == nil {
			p.failures.timedOut()
			http.Error(w, fmt.Sprintf("Metrics could not be collected within %v.", pageTimeout), http.StatusServiceUnavailable)
		}
		return true // nobody reads an answer to a client that left
	}
	if at.err != nil {
		http.Error(w, "Metrics could not be collected; the log of the service says why.", http.StatusInternalServerError)
		return true
	}
	to := http.NewResponseController(w)
	if !p.read(at, to) {
		return false
	}
	defer p.stopReading(at, to)
	if at.gzip {
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(at.body)))
	if r.Method == http.MethodHead {
		return true
	}
	if _, err := w.Write(at.body); errors.Is(err, os.ErrDeadlineExceeded) {
		p.failures.slowReader()
	}
	return true
}

func (p *pages) wait(ctx context.Context, at *page) (rendered bool) {
	p.conns.pause(ctx)
	defer p.conns.resume(ctx)
	select {
	case <-at.rendered:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *pages) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scrapes++
	p.asked, p.askedAt = p.asked+1, time.Now()
}

func (p *pages) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scrapes--
	p.tidy()
}

// join returns the page for a scrape that has just come, which gives it back.
func (p *pages) join(v variant) *page {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.latest[v]
	if at == nil || at.stale() || !at.at.IsZero() && p.scrapes < crowd {
		at = &page{variant: v, rendered: make(chan struct{}), readers: make(map[*http.ResponseController]struct{})}
		p.latest[v] = at
		go p.render(at)
	}
	at.users++
	return at
}

func (p *pages) giveBack(at *page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at.users--
	p.tidy()
}

// read registers a reader, unless the page is cut.
func (p *pages) read(at *page, to *http.ResponseController) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.cut {
		return false
	}
	at.readers[to] = struct{}{}
	_ = to.SetWriteDeadline(time.Now().Add(readTimeout))
	return true
}

func (p *pages) stopReading(at *page, to *http.ResponseController) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(at.readers, to)
}

// tidy gives up the pages that nobody reads or will: with the last scrape, all.
func (p *pages) tidy() {
	for v, at := range p.latest {
		if at.stale() || !at.at.IsZero() && p.scrapes == 0 {
			delete(p.latest, v)
		}
	}
	p.held = slices.DeleteFunc(p.held, func(at *page) bool {
		return at.cut || at.users == 0 && p.latest[at.variant] != at
	})
}

// publish hands the page to those who wait for it.
func (p *pages) publish(at *page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at.at = time.Now()
	close(at.rendered)
	p.held = append(p.held, at)
	p.tidy()
	length := 0
	for _, held := range p.held {
		length += len(held.body)
	}
	for ; len(p.held) > heldPages && length > heldBytes; p.tidy() {
		oldest := p.held[0]
		length -= len(oldest.body)
		oldest.cut = true
		for reader := range oldest.readers {
			_ = reader.SetWriteDeadline(time.Unix(1, 0)) // ends its Write
		}
	}
}

// render makes the page. It has a goroutine of its own, because those who wait
// give up when a collection hangs; there is never more than one of a variant.
func (p *pages) render(at *page) {
	p.rendering <- struct{}{}
	defer func() { <-p.rendering }()
	defer p.publish(at)
	defer func() {
		if problem := recover(); problem != nil {
			at.err = fmt.Errorf("rendering metrics: %v", problem)
			p.failures.panicked(at.err)
		}
	}()
	families, err := p.gather()
	if err != nil && len(families) == 0 {
		at.err = err
		return
	}
	at.body = p.encode(at.format, families)
	if at.gzip {
		at.body = compressed(at.body)
	}
}

// encode leaves out a family that the format cannot show.
func (p *pages) encode(format expfmt.FormatType, families []*dto.MetricFamily) []byte {
	var page bytes.Buffer
	page.Grow(p.lengths[format] + p.lengths[format]/8)
	encoder := expfmt.NewEncoder(&page, expfmt.NewFormat(format).WithEscapingScheme(model.UnderscoreEscaping))
	for _, family := range families {
		before := page.Len()
		if err := encoder.Encode(family); err != nil {
			page.Truncate(before)
			p.failures.leftOut(len(family.GetMetric()), fmt.Errorf("encoding %s: %w", family.GetName(), err))
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		_ = closer.Close() // writes the end of OpenMetrics to memory
	}
	p.lengths[format] = page.Len()
	return page.Bytes()
}

func compressed(body []byte) []byte {
	var page bytes.Buffer
	zip := gzip.NewWriter(&page)
	_, _ = zip.Write(body) // to memory, which takes everything
	_ = zip.Close()
	return page.Bytes()
}
