package e2e_test

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/otelmon/toolkit/e2e/harness"
)

const highErrorRate = "OtelmonHTTPHighErrorRate"

// TestAlertPath breaks a service, heals it, breaks it again and ends it, and looks
// at what people are told. It shares two cores with what it starts, so that it does
// not run in parallel.
func TestAlertPath(t *testing.T) {
	var (
		sink         = harness.StartWebhookSink(t)
		alertmanager = harness.StartAlertmanager(t, sink)
		stack        = harness.StartAlertingStack(t, alertmanager)
		s            = startService(t, stack, buildExample(t, "quickstart"), "cart", "0.0.0.0")
	)
	works := request{method: "GET", path: "/", route: "/", times: 20}
	fails := request{method: "POST", path: "/orders", body: `{"product":"7","quantity":1}`, route: "/orders", times: 20} // one of them

	harness.Eventually(t, arrival, "a page after failures", func() error {
		s.send(t, 1, fails)
		if len(pages(t, sink, s, "firing")) == 0 {
			return errors.New("none")
		}
		return nil
	})
	checkPage(t, pages(t, sink, s, "firing")[0], s)

	harness.Eventually(t, arrival, "a notice of recovery", func() error {
		s.send(t, 1, works)
		if len(pages(t, sink, s, "resolved")) == 0 {
			return errors.New("none")
		}
		return nil
	})
	for _, status := range []string{"firing", "resolved"} {
		if got := len(pages(t, sink, s, status)); got != 1 {
			t.Errorf("notifications that are %s: got %d, want 1", status, got)
		}
	}

	harness.Eventually(t, arrival, "a page after new failures", func() error {
		s.send(t, 1, fails)
		if len(pages(t, sink, s, "firing")) < 2 {
			return errors.New("none")
		}
		return nil
	})
	s.process.Kill()
	harness.Eventually(t, arrival, "inhibition by the end of the service", func() error {
		return wantInhibited(alertmanager, highErrorRate)
	})
	if len(sink.Beats(t)) == 0 {
		t.Error("nothing was sent to the dead man's switch")
	}
}

// pages returns the notifications about a service's errors.
func pages(t *testing.T, sink *harness.WebhookSink, s service, status string) []harness.Notification {
	t.Helper()
	return slices.DeleteFunc(sink.Pages(t), func(n harness.Notification) bool {
		return n.Status != status || n.GroupLabels["alertname"] != highErrorRate || n.GroupLabels["service_name"] != s.name
	})
}

// checkPage looks for what somebody who is woken up has to know.
func checkPage(t *testing.T, n harness.Notification, s service) {
	t.Helper()
	if len(n.Alerts) != 1 {
		t.Fatalf("got %d alerts in the notification, want 1", len(n.Alerts))
	}
	for label, want := range map[string]string{
		"service_name": s.name, "service_namespace": namespace, "deployment_environment_name": environment,
		"severity": "critical", "prometheus": "otelmon",
	} {
		if got := n.Alerts[0].Labels[label]; got != want {
			t.Errorf("label %s: got %q, want %q", label, got, want)
		}
	}
	text := n.Alerts[0].Annotations
	if !strings.Contains(text["summary"], s.name) {
		t.Errorf("summary: got %q, want one about %s", text["summary"], s.name)
	}
	// One of 20 requests fails, and a window may begin or end within the 20.
	value := regexp.MustCompile(`^([0-9.]+)% of the requests to ` + s.name + ` have failed`).FindStringSubmatch(text["description"])
	if value == nil {
		t.Fatalf("description: got %q, want one with the share of requests that failed", text["description"])
	}
	if percent, err := strconv.ParseFloat(value[1], 64); err != nil || percent < 2 || percent > 20 {
		t.Errorf("description: got %v, %v, want about 5 %%", percent, err)
	}
	dashboard, err := url.Parse(text["dashboard"])
	if err != nil {
		t.Fatal(err)
	}
	if dashboard.Path != "/d/otelmon-service" || dashboard.Query().Get("var-service") != s.name || dashboard.Query().Get("var-environment") != environment {
		t.Errorf("dashboard: got %s, want that of the service", dashboard)
	}
	if want := "/docs/runbooks/" + highErrorRate + ".md"; !strings.HasSuffix(text["runbook_url"], want) {
		t.Errorf("runbook: got %q, want %s", text["runbook_url"], want)
	}
}

// wantInhibited returns nil while an alert fires that others inhibit.
func wantInhibited(alertmanager *harness.Alertmanager, name string) error {
	alerts, err := alertmanager.Alerts()
	if err != nil {
		return err
	}
	var names []string
	for _, a := range alerts {
		names = append(names, a.Labels["alertname"])
		if a.Labels["alertname"] == name && len(a.Status.InhibitedBy) > 0 {
			return nil
		}
	}
	return fmt.Errorf("%s is not inhibited; there are %v", name, names)
}
