//go:build race

package meter_test

// With the race detector the percentiles take a minute, and they are measured in one goroutine.
const raceDetector = true
