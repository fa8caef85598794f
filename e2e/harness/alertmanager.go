package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// An Alertmanager is a running one with the shipped configuration, in which the
// receivers that are examples are taken into use.
type Alertmanager struct {
	address string
}

// An Alert is one that Alertmanager holds. It is inhibited if its status names
// others that make it so.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Status      struct {
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status,omitzero"`
}

// StartAlertmanager starts an Alertmanager that notifies a sink, with waits of a
// second or two, and waits until it is ready. It ends with the test.
func StartAlertmanager(t testing.TB, sink *WebhookSink) *Alertmanager {
	t.Helper()
	secrets := t.TempDir()
	for name, path := range map[string]string{"page_url": pagePath, "slack_url": chatPath, "dead_mans_switch_url": beatPath} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(sink.url+path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return startAlertmanager(t, AlertmanagerConfig(t, secrets, "webhook_configs", "slack_configs"))
}

// StartSilentAlertmanager is StartAlertmanager with the receivers as shipped:
// nobody is notified.
func StartSilentAlertmanager(t testing.TB) *Alertmanager {
	t.Helper()
	return startAlertmanager(t, AlertmanagerConfig(t, t.TempDir()))
}

func startAlertmanager(t testing.TB, config string) *Alertmanager {
	t.Helper()
	change(t, config, func(text string) string {
		text = regexp.MustCompile(`group_wait: \w+`).ReplaceAllString(text, "group_wait: 1s")
		return regexp.MustCompile(`group_interval: \w+`).ReplaceAllString(text, "group_interval: 2s")
	})
	a := &Alertmanager{address: FreeAddress(t)}
	p := Start(t, nil, Tool(t, "alertmanager"),
		"--config.file="+config,
		"--storage.path="+t.TempDir(),
		"--web.listen-address="+a.address,
		"--cluster.listen-address=",
	)
	waitReady(t, p, "http://"+a.address+"/-/ready")
	return a
}

// AlertmanagerConfig copies the shipped configuration, with a folder for its
// secrets and with receivers of some kinds, such as webhook_configs, taken into
// use, and returns the path of the copy.
func AlertmanagerConfig(t testing.TB, secrets string, kinds ...string) string {
	t.Helper()
	config := Rewrite(t, "deploy/alertmanager/alertmanager.yml", map[string]string{
		"/etc/alertmanager/secrets": secrets,
		"/etc/alertmanager/*.tmpl":  filepath.Join(Root(t), "deploy/alertmanager/*.tmpl"),
	})
	for _, kind := range kinds {
		example := regexp.MustCompile(`(?m)^    #` + kind + `:\n(?:    #  .*\n)+`)
		change(t, config, func(text string) string {
			return example.ReplaceAllStringFunc(text, func(lines string) string {
				return regexp.MustCompile(`(?m)^    #`).ReplaceAllString(lines, "    ")
			})
		})
	}
	return config
}

// change fails the test if it makes no difference.
func change(t testing.TB, file string, how func(string) string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := how(string(b))
	if text == string(b) {
		t.Fatalf("%s: there is nothing to change", file)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Send makes alerts fire, as Prometheus does.
func (a *Alertmanager) Send(t testing.TB, alerts ...Alert) {
	t.Helper()
	body, err := json.Marshal(alerts)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+a.address+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("send alerts: %s", resp.Status)
	}
}

// Metric returns the sum of one of Alertmanager's own metrics.
func (a *Alertmanager) Metric(name string) (float64, error) {
	page, err := ReadPage("http://" + a.address + "/metrics")
	if err != nil {
		return 0, err
	}
	return page.Sums(name)[""], nil
}

// Alerts returns the alerts that fire, inhibited ones among them.
func (a *Alertmanager) Alerts() ([]Alert, error) {
	body, err := Get("http://" + a.address + "/api/v2/alerts")
	if err != nil {
		return nil, err
	}
	var alerts []Alert
	if err := json.Unmarshal(body, &alerts); err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	return alerts, nil
}
