// Package spans keeps the traces that the live page shows.
package spans
