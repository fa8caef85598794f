package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

// function returns what llm.Config wants to know callers by, or nil.
func (c Caller) function() func(*http.Request) string {
	switch {
	case c.Header != "":
		return c.named
	case c.KeyFingerprint:
		return fingerprint
	}
	return nil
}

// named returns the caller as the header names it.
func (c Caller) named(r *http.Request) string {
	if name := r.Header.Get(c.Header); slices.Contains(c.Allowed, name) {
		return name
	}
	return "other"
}

// fingerprint returns what tells one API key from others.
func fingerprint(r *http.Request) string {
	key := apiKey(r.Header)
	if key == "" {
		return "none"
	}
	const digits = 8
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:digits/2])
}

// apiKey returns the key where OpenAI, Anthropic and Azure look for it.
func apiKey(header http.Header) string {
	const bearer = "Bearer "
	if value := header.Get("Authorization"); len(value) > len(bearer) && strings.EqualFold(value[:len(bearer)], bearer) {
		return value[len(bearer):]
	}
	if key := header.Get("X-Api-Key"); key != "" {
		return key
	}
	return header.Get("Api-Key")
}
