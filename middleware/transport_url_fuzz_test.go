package middleware_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzURLIsRedacted sends requests to any URL: what stands in its query, its fragment and its
// user information is recorded nowhere.
func FuzzURLIsRedacted(f *testing.F) {
	f.Add("http", "api.example.com", "/orders", "token=", "key")
	f.Add("https", "api.example.com:8443", "/%ff/\xff", "X-Amz-Signature=", "")
	f.Add("", "", "", "", "")
	f.Add("http", "[::1]:80", "//a@b/../?", "?&=;", "\xff")
	f.Add("HTTP", "user:pw@host", "*", "a=b&sig=", "x:y")
	f.Fuzz(func(t *testing.T, scheme, host, path, query, user string) {
		const secret = "c0ffee-canary"
		u := &url.URL{Scheme: scheme, Host: secret + user + "@" + host, Path: path, RawQuery: query + secret, Fragment: secret}
		if user != "" {
			u.Host, u.User = host, url.UserPassword(user+secret, secret)
		}
		if strings.Contains(scheme+host+path, "@") {
			t.Skip("what comes before an @ elsewhere is no user information")
		}
		for way, sdk := range newClientSDKs() {
			r := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(t.Context())
			base := clientBase(func(r *http.Request) (*http.Response, error) {
				return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: http.ErrHandlerTimeout}
			})
			_, err := sdk.client(t, base).Transport.RoundTrip(r)
			if err == nil {
				t.Fatal("the error got lost")
			}
			all := clientEverything(t, sdk)
			if at := strings.Index(all, secret); at >= 0 {
				t.Fatalf("%s: the secret was recorded: %q", way, all[max(0, at-200):at])
			}
			if !utf8.ValidString(all) && utf8.ValidString(path) {
				t.Fatalf("%s: recorded what is not UTF-8: %q", way, all)
			}
		}
	})
}
