// Package middleware measures and traces HTTP: [Handler] around a server's
// router, [Transport] around a client's RoundTripper. It uses the OpenTelemetry
// API and works with any SDK; with otelmon's, requests that are not sampled
// cost a fraction, and those that fail or are slow leave a span nevertheless.
package middleware
