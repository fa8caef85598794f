//go:build race

package llm_test

// With the race detector a request takes ten times as long and allocates more.
const raceDetector = true
