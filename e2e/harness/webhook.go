package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// A Notification is what Alertmanager sends to a webhook.
type Notification struct {
	Status            string
	GroupLabels       map[string]string
	CommonAnnotations map[string]string
	Alerts            []struct {
		Status              string
		Labels, Annotations map[string]string
	}
}

// A SlackMessage is what Alertmanager sends to Slack.
type SlackMessage struct {
	Attachments []struct {
		Title     string
		TitleLink string `json:"title_link"`
		Text      string
	}
}

// A WebhookSink stands where receivers of notifications would be, and keeps what
// it gets.
type WebhookSink struct {
	url string

	mu     sync.Mutex
	bodies map[string][]json.RawMessage // by path
}

// StartWebhookSink starts a sink on a free address. It ends with the test.
func StartWebhookSink(t testing.TB) *WebhookSink {
	t.Helper()
	sink := &WebhookSink{bodies: map[string][]json.RawMessage{}}
	server := httptest.NewServer(sink)
	t.Cleanup(server.Close)
	sink.url = server.URL
	return sink
}

// ServeHTTP takes a notification.
func (s *WebhookSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[r.URL.Path] = append(s.bodies[r.URL.Path], body)
	fmt.Fprint(w, "ok") // what Slack answers
}

// Pages returns what was sent to the receiver page.
func (s *WebhookSink) Pages(t testing.TB) []Notification {
	return received[Notification](t, s, pagePath)
}

// Chat returns what was sent to the receiver chat.
func (s *WebhookSink) Chat(t testing.TB) []SlackMessage {
	return received[SlackMessage](t, s, chatPath)
}

// Beats returns what was sent to the dead man's switch.
func (s *WebhookSink) Beats(t testing.TB) []Notification {
	return received[Notification](t, s, beatPath)
}

const pagePath, chatPath, beatPath = "/page", "/chat", "/beat"

func received[T any](t testing.TB, s *WebhookSink, path string) []T {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	messages := make([]T, len(s.bodies[path]))
	for i, body := range s.bodies[path] {
		if err := json.Unmarshal(body, &messages[i]); err != nil {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
	}
	return messages
}
