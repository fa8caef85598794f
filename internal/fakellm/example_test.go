package fakellm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/otelmon/toolkit/internal/fakellm"
)

func Example() {
	upstream := fakellm.New(fakellm.ByModel(map[string]fakellm.Answer{
		"busy": {Vendor: fakellm.DeepSeek, Status: http.StatusServiceUnavailable},
	}))
	server := httptest.NewServer(upstream)
	defer server.Close()

	for _, model := range []string{"deepseek-flash", "busy"} {
		body := strings.NewReader(`{"model":"` + model + `"}`)
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+"/chat/completions", body)
		if err != nil {
			fmt.Println(err)
			return
		}
		response, err := server.Client().Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		fmt.Println(model, response.StatusCode)
	}
	if err := upstream.Wait(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println("truth:", upstream.Totals().Requests, "requests,", upstream.Totals().Usage.AnswerTokens, "tokens of answers")
	// Output:
	// deepseek-flash 200
	// busy 503
	// truth: 2 requests, 9 tokens of answers
}
