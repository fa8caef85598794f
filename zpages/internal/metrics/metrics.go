// Package metrics keeps what the live page shows of the service's metrics.
package metrics
