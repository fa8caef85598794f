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

// ownPage returns the URL of the metrics page that the environment leads to, if
// somebody on this machine serves it to everyone here.
func (s service) ownPage(ctx context.Context) string {
	u, err := url.Parse(s.Scrape.URL)
	if err != nil || u.Port() == "0" || os.Getenv("OTELMON_PROMETHEUS_WEB_CONFIG_FILE") != "" {
		return ""
	}
	if address, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !address.IsLoopback()) {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return ""
	}
	_ = conn.Close()
	return s.Scrape.URL
}

// noPage tells why no page was looked at.
func noPage(context.Context, Config) []Finding {
	return []Finding{{
		"metrics", "no-page", OK,
		"no page of the environment's is served on this machine; --metrics URL looks at another", "",
	}}
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
