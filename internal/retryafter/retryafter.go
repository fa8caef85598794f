// Package retryafter reads the header Retry-After of HTTP.
package retryafter

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// Wait returns how long the value of the header Retry-After asks to wait,
// in seconds or until a date; 0 when it is neither, and for what is past. Some
// servers send fractions of a second, which RFC 9110 does not have.
func Wait(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds > 0) { // such as NaN
			return 0
		}
		return time.Duration(min(seconds, math.MaxInt32) * float64(time.Second))
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(date.Sub(now), 0)
}
