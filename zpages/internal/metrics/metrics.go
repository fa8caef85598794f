// Package metrics keeps what the live page shows of the service's metrics.
package metrics

import (
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Route is what requests are told apart by.
type Route struct{ Method, Route string }

// Traced are the server spans of a route.
type Traced struct {
	// Sampled counts those that were sampled when the request came.
	Sampled int64
	// Rescued counts those that were made after all, for a failure or slowness.
	Rescued int64
	// InFlight are those that have not ended.
	InFlight int
}

// Query is what one page wants to know.
type Query struct {
	Since  int64
	Window time.Duration
	Route  string
}

// Store keeps 15 minutes of a service's metrics.
type Store struct{}

// New returns a Store that is empty.
func New() *Store { return &Store{} }

// Add takes one collection.
func (s *Store) Add(now time.Time, rm *metricdata.ResourceMetrics, traced map[Route]Traced) {}

// View returns what there is for the page.
func (s *Store) View(now time.Time, q Query) View { return View{} }
