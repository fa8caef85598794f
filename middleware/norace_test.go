//go:build !race

package middleware_test

const rawRaceDetector = false
