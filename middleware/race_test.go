//go:build race

package middleware_test

// With the race detector a request takes ten times as long and allocates more.
const rawRaceDetector = true
