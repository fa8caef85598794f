//go:build race

package doctor_test

// With the race detector code takes ten times as long and allocates more.
const raceDetector = true
