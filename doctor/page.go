package doctor

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const webConfigFile = "OTELMON_PROMETHEUS_WEB_CONFIG_FILE"

// ownPage returns the URL of the metrics page that the environment leads to, if
// somebody on this machine serves it to everyone here.
func (s service) ownPage(ctx context.Context) string {
	if !s.openHere() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	u, _ := url.Parse(s.Scrape.URL)
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return ""
	}
	_ = conn.Close()
	return s.Scrape.URL
}

// openHere reports whether the page would be on loopback, and for everyone.
func (s service) openHere() bool {
	u, err := url.Parse(s.Scrape.URL)
	if err != nil || u.Port() == "0" || os.Getenv(webConfigFile) != "" {
		return false
	}
	address, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && address.IsLoopback()
}

// noPage tells why no page was looked at.
func (s service) noPage(context.Context, Config) []Finding {
	f := Finding{Part: "metrics", Check: "no-page", Message: "nothing serves " + s.Scrape.URL + " here; name a page with --metrics URL"}
	switch {
	case s.openHere():
	case s.Scrape.URL != "" && os.Getenv(webConfigFile) != "":
		f.Message = s.Scrape.URL + " may want a password or a certificate, by " + webConfigFile + "; name it with --metrics URL"
	default:
		f.Message = "the environment leads to no page that is open to everyone here; name one with --metrics URL"
	}
	return []Finding{f}
}

// idle is a listener that nobody can reach.
type idle struct {
	address net.Addr
	closed  chan struct{}
	close   func()
}

// newIdle resolves no name: all but localhost are taken for other addresses.
func newIdle(address string) (*idle, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case strings.EqualFold(host, "localhost"):
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case err != nil:
		ip = netip.IPv4Unspecified()
	}
	l := &idle{address: net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(number))), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l, nil
}

// Accept waits until the listener is closed.
func (l *idle) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

// Close ends Accept.
func (l *idle) Close() error {
	l.close()
	return nil
}

// Addr is where a listener would be.
func (l *idle) Addr() net.Addr { return l.address }
