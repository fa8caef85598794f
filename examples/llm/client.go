package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/otelmon/toolkit/llm"
)

// newClient is what a program of your own needs: an http.Client with
// llm.Transport. Providers is only for hosts that are not well known, such as
// the fake's; Models lets a model be a label before a call with it succeeded.
func newClient(sessions []session) *http.Client {
	cfg := llm.Config{IncludeUsage: true, Providers: map[string]string{}}
	for _, s := range sessions {
		cfg.Models = append(cfg.Models, s.api.model)
		if u, err := url.Parse(s.api.base); err == nil {
			cfg.Providers[u.Host] = s.api.provider
		}
	}
	base := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	return &http.Client{Transport: llm.Transport(base, cfg), Timeout: time.Minute}
}

// api is where a model is asked.
type api struct {
	provider, base, key, model string
}

// session is a sequence of questions to one model.
type session struct {
	api       api
	questions []question
}

// question is one request of a chat completion.
type question struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
	Stream   bool      `json:"stream"`

	// The limit of the output, as OpenAI calls it, and as DeepSeek does.
	MaxCompletionTokens int    `json:"max_completion_tokens,omitempty"`
	MaxTokens           int    `json:"max_tokens,omitempty"`
	ReasoningEffort     string `json:"reasoning_effort,omitempty"`

	leave bool // after the first piece of the answer
}

type message struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

// completion is what is used of an answer, or of one event of a stream.
type completion struct {
	Choices []struct {
		Message, Delta message
	} `json:"choices"`
}

// errRefused is an API that refuses for a reason that will not pass.
var errRefused = errors.New("refused")

const maxAttempts = 3

// ask returns the text of the answer, as far as it came. A request that was
// refused for the moment is sent again, as clients of these APIs do.
func ask(ctx context.Context, client *http.Client, a api, q question) (string, error) {
	q.Model = a.model
	body, err := json.Marshal(q)
	if err != nil {
		return "", err
	}
	for attempt := 1; ; attempt++ {
		response, err := send(ctx, client, a, body)
		if err != nil {
			return "", err
		}
		status := response.StatusCode
		passing := status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
		if passing && attempt < maxAttempts {
			response.Body.Close()
			if err := wait(ctx, response.Header.Get("Retry-After")); err != nil {
				return "", err
			}
			continue
		}
		defer response.Body.Close()
		if status != http.StatusOK { // its text is not shown: it may quote the key
			return "", fmt.Errorf("%w: %s", errRefused, response.Status)
		}
		return q.read(response.Body)
	}
}

func send(ctx context.Context, client *http.Client, a api, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if a.key != "" {
		r.Header.Set("Authorization", "Bearer "+a.key)
	}
	return client.Do(r)
}

// wait waits for as long as the server asked to, in seconds.
func wait(ctx context.Context, retryAfter string) error {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil || seconds > 10 {
		seconds = 0
	}
	timer := time.NewTimer(max(time.Duration(seconds)*time.Second, 100*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q question) read(body io.Reader) (text string, err error) {
	if !q.Stream {
		var c completion
		if err := json.NewDecoder(body).Decode(&c); err != nil {
			return "", err
		}
		_, err := io.Copy(io.Discard, body) // to the end, so that the connection can be used again
		return c.text(), err
	}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok || string(data) == "[DONE]" {
			continue
		}
		var c completion
		if err := json.Unmarshal(data, &c); err != nil {
			return text, err
		}
		text += c.text()
		if q.leave && text != "" {
			return text, nil
		}
	}
	return text, lines.Err()
}

func (c completion) text() string {
	if len(c.Choices) == 0 {
		return ""
	}
	return c.Choices[0].Message.Content + c.Choices[0].Delta.Content
}
