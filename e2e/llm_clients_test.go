package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	goopenai "github.com/sashabaranov/go-openai"
)

// What must not be found in telemetry.
const (
	canaryKey        = "sk-canary-key-3f1b"
	canaryPrompt     = "canary-prompt-77ac"
	canaryCompletion = "canary-completion-05de"
	canaryUser       = "canary-user-b0c4"
	canaryQuery      = "canary-query-91e2"
)

// seen is what a client gets of a call: the answer or the events of it, and the
// status and headers of each attempt.
type seen struct {
	Events, Responses []string
	Err               string
}

// An exchange is a call that is being made.
type exchange struct {
	scenario

	client string
	model  string
	url    string
	http   *http.Client
	ctx    context.Context
	leave  context.CancelFunc
	seen   seen
}

// A library is a client that nobody here wrote.
type library struct {
	retries bool // failed calls by itself
	calls   map[api]func(*exchange)
}

type api string

const (
	chat           api = "chat"
	textCompletion api = "text completion"
	fillInMiddle   api = "fill-in-the-middle"
	embeddings     api = "embeddings"
	response       api = "responses"
	messages       api = "messages"
)

func libraries() map[string]library {
	return map[string]library{
		"openai-go": {retries: true, calls: map[api]func(*exchange){
			chat: (*exchange).openAIChat, textCompletion: (*exchange).openAICompletion, fillInMiddle: (*exchange).openAICompletion,
			embeddings: (*exchange).openAIEmbeddings, response: (*exchange).openAIResponse,
		}},
		"go-openai": {calls: map[api]func(*exchange){
			chat: (*exchange).goOpenAIChat, textCompletion: (*exchange).goOpenAICompletion, embeddings: (*exchange).goOpenAIEmbeddings,
		}},
		"anthropic-sdk-go": {retries: true, calls: map[api]func(*exchange){messages: (*exchange).anthropicMessage}},
	}
}

const (
	curl         = "curl"
	clientHeader = "X-Client" // tells calls of one client from those of another
)

// make makes the call.
func (x *exchange) make(call func(*exchange)) seen {
	defer x.leave()
	base := x.http.Transport
	x.http = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set(clientHeader, x.client)
		answer, err := base.RoundTrip(r)
		if err == nil {
			header := answer.Header.Clone()
			header.Del("Date")
			x.seen.Responses = append(x.seen.Responses, fmt.Sprint(answer.StatusCode, header))
		}
		return answer, err
	})}
	call(x)
	return x.seen
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (x *exchange) prompt() string {
	return canaryPrompt + " of " + x.client + " for " + x.model
}

// event takes an event of a stream, or a whole answer. That the usage is null
// is the same as that there is none. What was on its way when the client left may
// come or not.
func (x *exchange) event(text string) {
	if x.leaves > 0 && len(x.seen.Events) == x.leaves {
		return
	}
	x.seen.Events = append(x.seen.Events, strings.ReplaceAll(text, `,"usage":null`, ""))
	if x.leaves == len(x.seen.Events) {
		x.leave()
	}
}

var serverURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// fail takes an error. One of a connection is called by what it means, since its
// text tells of the connection.
func (x *exchange) fail(err error) {
	var openAI *openai.Error
	var anthropicError *anthropic.Error
	switch {
	case err == nil:
	case errors.As(err, &openAI):
		x.seen.Err = err.Error() + openAI.RawJSON()
	case errors.As(err, &anthropicError):
		x.seen.Err = serverURL.ReplaceAllString(err.Error(), "URL")
	case errors.Is(err, context.Canceled):
		x.seen.Err = "canceled"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		x.seen.Err = "broken off"
	default:
		x.seen.Err = serverURL.ReplaceAllString(err.Error(), "URL")
	}
}

// raw is an answer of a library that keeps its bytes.
type raw interface{ RawJSON() string }

func (x *exchange) whole(answer raw, err error) {
	x.fail(err)
	if err == nil {
		x.event(answer.RawJSON())
	}
}

// each takes the events of a stream of a library.
func each[T raw](x *exchange, stream interface {
	Next() bool
	Current() T
	Err() error
	Close() error
},
) {
	for stream.Next() {
		x.event(stream.Current().RawJSON())
	}
	x.fail(stream.Err())
	_ = stream.Close() // again, for those that broke off
}

func (x *exchange) openAI() openai.Client {
	base := "/v1/"
	if x.api == fillInMiddle {
		base = "/beta/"
	}
	return openai.NewClient(option.WithBaseURL(x.url+base), option.WithAPIKey(canaryKey), option.WithHTTPClient(x.http),
		option.WithQuery("trace", canaryQuery))
}

func (x *exchange) openAIChat() {
	client, params := x.openAI(), openai.ChatCompletionNewParams{
		Model: x.model, User: openai.String(canaryUser),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(x.prompt())},
	}
	if x.usage {
		params.StreamOptions.IncludeUsage = openai.Bool(true)
	}
	if x.stream {
		each(x, client.Chat.Completions.NewStreaming(x.ctx, params))
		return
	}
	x.whole(client.Chat.Completions.New(x.ctx, params))
}

func (x *exchange) openAICompletion() {
	client, params := x.openAI(), openai.CompletionNewParams{
		Model: openai.CompletionNewParamsModel(x.model), User: openai.String(canaryUser),
		Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(x.prompt())},
	}
	if x.api == fillInMiddle {
		params.Suffix = openai.String("return a + b")
	}
	if x.usage {
		params.StreamOptions.IncludeUsage = openai.Bool(true)
	}
	if x.stream {
		each(x, client.Completions.NewStreaming(x.ctx, params))
		return
	}
	x.whole(client.Completions.New(x.ctx, params))
}

func (x *exchange) openAIEmbeddings() {
	client := x.openAI()
	x.whole(client.Embeddings.New(x.ctx, openai.EmbeddingNewParams{
		Model: x.model, User: openai.String(canaryUser),
		Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String(x.prompt())},
	}))
}

func (x *exchange) openAIResponse() {
	client, params := x.openAI(), responses.ResponseNewParams{
		Model: x.model, User: openai.String(canaryUser),
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(x.prompt())},
	}
	if x.stream {
		each(x, client.Responses.NewStreaming(x.ctx, params))
		return
	}
	x.whole(client.Responses.New(x.ctx, params))
}

func (x *exchange) anthropicMessage() {
	client := anthropic.NewClient(anthropicoption.WithBaseURL(x.url), anthropicoption.WithAPIKey(canaryKey),
		anthropicoption.WithHTTPClient(x.http), anthropicoption.WithQuery("trace", canaryQuery))
	params := anthropic.MessageNewParams{
		Model: x.model, MaxTokens: 1000,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(x.prompt()))},
		Metadata: anthropic.MetadataParam{UserID: anthropic.String(canaryUser)},
	}
	if x.stream {
		each(x, client.Messages.NewStreaming(x.ctx, params))
		return
	}
	x.whole(client.Messages.New(x.ctx, params))
}

func (x *exchange) goOpenAI() *goopenai.Client {
	config := goopenai.DefaultConfig(canaryKey)
	config.BaseURL, config.HTTPClient = x.url+"/v1", x.http
	return goopenai.NewClientWithConfig(config)
}

func (x *exchange) goOpenAIOptions() *goopenai.StreamOptions {
	if !x.usage {
		return nil
	}
	return &goopenai.StreamOptions{IncludeUsage: true}
}

// decoded takes an answer of a library that does not keep its bytes.
func (x *exchange) decoded(answer any, err error) {
	if err != nil {
		x.fail(err)
		return
	}
	text, err := json.Marshal(answer)
	x.fail(err)
	x.event(string(text))
}

// receive takes the events of a stream of go-openai.
func receive[T any](x *exchange, stream interface {
	Recv() (T, error)
	Close() error
}, err error,
) {
	if err != nil {
		x.fail(err)
		return
	}
	defer func() { _ = stream.Close() }()
	for {
		event, err := stream.Recv()
		if err == io.EOF { //nolint:errorlint // as it comes when the answer is complete
			return
		}
		x.decoded(event, err)
		if err != nil {
			return
		}
	}
}

func (x *exchange) goOpenAIChat() {
	request := goopenai.ChatCompletionRequest{
		Model: x.model, User: canaryUser, StreamOptions: x.goOpenAIOptions(),
		Messages: []goopenai.ChatCompletionMessage{{Role: goopenai.ChatMessageRoleUser, Content: x.prompt()}},
	}
	if x.stream {
		stream, err := x.goOpenAI().CreateChatCompletionStream(x.ctx, request)
		receive(x, stream, err)
		return
	}
	x.decoded(x.goOpenAI().CreateChatCompletion(x.ctx, request))
}

func (x *exchange) goOpenAICompletion() {
	request := goopenai.CompletionRequest{Model: x.model, User: canaryUser, Prompt: x.prompt(), StreamOptions: x.goOpenAIOptions()}
	if x.stream {
		stream, err := x.goOpenAI().CreateCompletionStream(x.ctx, request)
		receive(x, stream, err)
		return
	}
	x.decoded(x.goOpenAI().CreateCompletion(x.ctx, request))
}

func (x *exchange) goOpenAIEmbeddings() {
	x.decoded(x.goOpenAI().CreateEmbeddings(x.ctx, goopenai.EmbeddingRequest{
		Model: goopenai.EmbeddingModel(x.model), User: canaryUser, Input: x.prompt(),
	}))
}

// curlPaths are where curl finds the APIs.
var curlPaths = map[api]string{
	chat: "/chat/completions", textCompletion: "/v1/completions", fillInMiddle: "/beta/completions",
	embeddings: "/v1/embeddings", response: "/v1/responses", messages: "/v1/messages",
}

// runCurl takes the bytes that curl prints. It leaves when it was told to.
func (x *exchange) runCurl() {
	body := map[string]any{
		"model": x.model, "stream": x.stream, "input": x.prompt(), "prompt": x.prompt(), "user": canaryUser,
		"messages": []map[string]string{{"role": "user", "content": x.prompt()}},
	}
	if x.usage {
		body["stream_options"] = map[string]bool{"include_usage": true}
	}
	text, err := json.Marshal(body)
	if err != nil {
		x.fail(err)
		return
	}
	args := []string{
		"--no-buffer", "--silent", "--compressed", "--noproxy", "*", "--write-out", "%{http_code}",
		"--header", "Content-Type: application/json", "--header", "Authorization: Bearer " + canaryKey,
		"--header", clientHeader + ": " + curl, "--header", "Anthropic-Version: 2023-06-01", "--data-binary", "@-", x.url + curlPaths[x.api] + "?trace=" + canaryQuery,
	}
	command := exec.CommandContext(x.ctx, curl, args...)
	command.Stdin = bytes.NewReader(text)
	out, err := command.Output()
	x.event(string(out))
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		x.seen.Err = curlExits[exit.ExitCode()]
		if x.seen.Err == "" {
			x.seen.Err = exit.String()
		}
		return
	}
	x.fail(err)
}

// curlExits are the exit codes for answers that break off.
var curlExits = map[int]string{18: "broken off", 52: "broken off", 56: "broken off"}

// sorted returns the keys in order, so that calls have the same number in each
// run.
func sorted[T any](of map[string]T) []string { return slices.Sorted(maps.Keys(of)) }
