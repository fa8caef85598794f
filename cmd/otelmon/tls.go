package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"
)

// certificates are those of the listener, which a reload replaces. Safe for
// concurrent use.
type certificates struct{ latest atomic.Pointer[tls.Config] }

// load reads the files anew; without any there is no TLS.
func (c *certificates) load(files listenerTLS) error {
	latest, err := files.load()
	if err == nil {
		c.latest.Store(latest)
	}
	return err
}

// config asks for the latest certificates at each handshake.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.latest.Load(), nil },
	}
}

// load returns nil when no TLS is wanted.
func (f listenerTLS) load() (*tls.Config, error) {
	if f.certFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.certFile, f.keyFile, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{certificate},
	}
	if f.clientCAFile == "" {
		return config, nil
	}
	content, err := os.ReadFile(f.clientCAFile)
	if err != nil {
		return nil, fmt.Errorf("authorities of clients: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("authorities of clients: no certificate in %s; accepted: a PEM file", f.clientCAFile)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}
