package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/otelmon/toolkit/proxy"
)

func ExampleNew() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(w, r.Method, r.URL)
	}))
	defer api.Close()

	p, err := proxy.New(proxy.Config{Upstreams: []proxy.Upstream{
		{Prefix: "/api", URL: api.URL + "/v1", Routes: []string{"/files/{id}"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	beside := httptest.NewServer(p)
	defer beside.Close()

	for _, path := range []string{"/api/files/a%2Fb?full", "/elsewhere"} {
		response, err := http.Get(beside.URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Print(response.StatusCode, " ", string(body))
	}
	// Output:
	// 200 GET /v1/files/a%2Fb?full
	// 404 {"error":{"message":"no upstream has a prefix of this path","type":"otelmon_no_upstream"}}
}

func ExampleParse() {
	_, err := proxy.Parse([]byte(`
upstreams:
  - prefix: /deepseek
    url: api.deepseek.com
`))
	fmt.Println(err)
	// Output: line 4: upstreams[0].url: "api.deepseek.com" has no scheme; accepted: http, https or h2c
}
