package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/otelmon/toolkit/e2e/harness"
)

var receiverKinds = []string{"webhook_configs", "slack_configs", "email_configs"}

func TestAlertmanagerAcceptsItsConfig(t *testing.T) {
	t.Parallel()
	amtool := harness.Tool(t, "amtool")
	run(t, amtool, "check-config", harness.AlertmanagerConfig(t, t.TempDir()))
	run(t, amtool, "check-config", harness.AlertmanagerConfig(t, t.TempDir(), receiverKinds...))
}

func TestAlertmanagerRoutes(t *testing.T) {
	t.Parallel()
	config := harness.AlertmanagerConfig(t, t.TempDir())
	tests := map[string]struct {
		receiver string
		labels   []string
	}{
		"critical alerts page":                        {"page", []string{"alertname=OtelmonHTTPHighErrorRate", "severity=critical"}},
		"warnings go to the chat":                     {"chat", []string{"alertname=OtelmonHTTPHighLatencyP99", "severity=warning"}},
		"information is shown only":                   {"ui", []string{"alertname=OtelmonDuplicatePaths", "severity=info"}},
		"a severity of none is shown only":            {"ui", []string{"alertname=Other", "severity=none"}},
		"the watchdog keeps the switch from closing":  {"dead-mans-switch", []string{"alertname=Watchdog", "severity=none"}},
		"an alert without a severity does not vanish": {"chat", []string{"alertname=Other"}},
		"nor one with a severity of its own":          {"chat", []string{"alertname=Other", "severity=page"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"config", "routes", "test", "--config.file=" + config, "--verify.receivers=" + test.receiver}
			run(t, harness.Tool(t, "amtool"), append(args, test.labels...)...)
		})
	}
}

// The default depends on the kind of receiver.
func TestEveryReceiverSaysWhetherItSendsRecoveries(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(harness.AlertmanagerConfig(t, t.TempDir(), receiverKinds...))
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ Receivers []map[string]yaml.Node }
	if err := yaml.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, receiver := range config.Receivers {
		for kind, node := range receiver {
			if kind == "name" {
				continue
			}
			var integrations []map[string]any
			if err := node.Decode(&integrations); err != nil {
				t.Fatal(err)
			}
			for _, integration := range integrations {
				count++
				if _, ok := integration["send_resolved"].(bool); !ok {
					t.Errorf("%s: send_resolved is not set in %v", kind, integration)
				}
				for key := range integration {
					if slices.Contains([]string{"url", "api_url", "auth_password"}, key) {
						t.Errorf("%s: %s is a secret and belongs into a file", kind, key)
					}
				}
			}
		}
	}
	if want := 4; count != want {
		t.Errorf("got %d integrations, want %d", count, want)
	}
}

func TestAlertmanagerStartsWithoutSecrets(t *testing.T) {
	t.Parallel()
	alertmanager := harness.StartSilentAlertmanager(t)
	alertmanager.Send(t, alert("OtelmonHTTPHighErrorRate", "service_name=cart", "severity=critical"))
	harness.Eventually(t, 10*time.Second, "the alert on Alertmanager's page", func() error {
		_, count, err := inhibited(alertmanager, "")
		if err == nil && count != 1 {
			err = fmt.Errorf("got %d, want 1", count)
		}
		return err
	})
	failed, err := alertmanager.Metric("alertmanager_notifications_failed_total")
	if err != nil || failed != 0 {
		t.Errorf("failed notifications: got %v, %v, want none", failed, err)
	}
}

// An inhibition is alerts that fire together, and which of them are held back.
type inhibition struct {
	alerts        []harness.Alert
	wantInhibited []string
}

const (
	shop  = "service_namespace=shop"
	cart  = "service_name=cart"
	stock = "service_name=stock"
	prod  = "deployment_environment_name=prod"
)

func TestInhibitionBySeverity(t *testing.T) {
	t.Parallel()
	testInhibition(t, map[string]inhibition{
		"critical silences the same warning": {
			alerts:        []harness.Alert{alert("A", "severity=critical", cart), alert("A", "severity=warning", cart, "id=2")},
			wantInhibited: []string{"A warning"},
		},
		"critical does not silence the warning of another service": {
			alerts: []harness.Alert{alert("A", "severity=critical", cart), alert("A", "severity=warning", stock)},
		},
		"critical does not silence the warning of another instance": {
			alerts: []harness.Alert{alert("A", "severity=critical", "instance=a"), alert("A", "severity=warning", "instance=b")},
		},
		"an empty account does not silence the wrong key of another provider": {
			alerts: []harness.Alert{
				alert("OtelmonLLMRefused", "severity=critical", cart, "gen_ai_provider_name=openai", "otelmon_llm_outcome=no_balance"),
				alert("OtelmonLLMRefused", "severity=warning", cart, "gen_ai_provider_name=openai", "otelmon_llm_outcome=unauthorized"),
				alert("OtelmonLLMRefused", "severity=warning", cart, "gen_ai_provider_name=deepseek", "otelmon_llm_outcome=unauthorized"),
			},
			wantInhibited: []string{"OtelmonLLMRefused warning"},
		},
	})
}

func TestInhibitionByObjectives(t *testing.T) {
	t.Parallel()
	testInhibition(t, map[string]inhibition{
		"burning fast silences burning slowly": {
			alerts: []harness.Alert{
				alert("OtelmonSLOBurnRateCritical", "severity=critical", cart, shop, "slo=orders", "long=1h"),
				alert("OtelmonSLOBurnRateWarning", "severity=warning", cart, shop, "slo=orders", "long=3d"),
			},
			wantInhibited: []string{"OtelmonSLOBurnRateWarning warning"},
		},
		"but not that of another objective": {
			alerts: []harness.Alert{
				alert("OtelmonSLOBurnRateCritical", "severity=critical", cart, shop, "slo=orders"),
				alert("OtelmonSLOBurnRateWarning", "severity=warning", cart, shop, "slo=pages"),
			},
		},
		"one incident is one page: burning fast silences the errors of the service, not of others": {
			alerts: []harness.Alert{
				alert("OtelmonSLOBurnRateCritical", "severity=critical", cart, shop, "slo=orders"),
				alert("OtelmonHTTPHighErrorRate", "severity=critical", cart, shop),
				alert("OtelmonHTTPHighErrorRate", "severity=critical", stock, shop),
			},
			wantInhibited: []string{"OtelmonHTTPHighErrorRate critical"},
		},
	})
}

func TestInhibitionByThePlatform(t *testing.T) {
	t.Parallel()
	testInhibition(t, map[string]inhibition{
		"Collectors that are down silence absent telemetry of services that push": {
			alerts: []harness.Alert{
				alert("OtelmonCollectorDown", "severity=critical", "job=collector"),
				alert("OtelmonTelemetryAbsent", "severity=critical", cart, shop, prod, "otelmon_metrics_path=otlp"),
				alert("OtelmonTelemetryAbsent", "severity=critical", "service_name=another SDK"),
				alert("OtelmonTelemetryAbsent", "severity=critical", stock, shop, prod, "otelmon_metrics_path=scrape"),
				alert("OtelmonTargetDown", "severity=warning", "job=collector", "instance=collector:8888"),
				alert("OtelmonTargetDown", "severity=warning", "job=tempo", "instance=tempo:3200"),
			},
			wantInhibited: []string{"OtelmonTargetDown warning", "OtelmonTelemetryAbsent critical", "OtelmonTelemetryAbsent critical"},
		},
		"one Collector of several silences nothing": {
			alerts: []harness.Alert{
				alert("OtelmonTargetDown", "severity=warning", "job=collector", "instance=agent-1"),
				alert("OtelmonTelemetryAbsent", "severity=critical", cart, shop, prod, "otelmon_metrics_path=otlp"),
			},
		},
		"a queue that is not delivered silences that it fills": {
			alerts: []harness.Alert{
				alert("OtelmonCollectorNotDelivering", "severity=warning", "instance=a", "exporter=tempo", "data_type=traces"),
				alert("OtelmonCollectorQueueFilling", "severity=warning", "instance=a", "exporter=tempo", "data_type=traces"),
				alert("OtelmonCollectorQueueFilling", "severity=warning", "instance=b", "exporter=tempo", "data_type=traces"),
			},
			wantInhibited: []string{"OtelmonCollectorQueueFilling warning"},
		},
		"a Prometheus that stores nothing silences what seems to be gone": {
			alerts: []harness.Alert{
				alert("OtelmonPrometheusNotIngesting", "severity=critical"),
				alert("OtelmonTelemetryAbsent", "severity=critical", cart, "otelmon_metrics_path=scrape"),
				alert("OtelmonCollectorDown", "severity=critical", "job=collector"),
				alert("OtelmonAlertmanagerDown", "severity=critical", "job=alertmanager"),
			},
			wantInhibited: []string{"OtelmonAlertmanagerDown critical", "OtelmonCollectorDown critical", "OtelmonTelemetryAbsent critical"},
		},
		"but not if it is another Prometheus that is watched": {
			alerts: []harness.Alert{
				alert("OtelmonPrometheusNotIngesting", "severity=critical", "instance=other:9090"),
				alert("OtelmonTelemetryAbsent", "severity=critical", cart, "otelmon_metrics_path=scrape"),
			},
		},
	})
}

func TestInhibitionBySilence(t *testing.T) {
	t.Parallel()
	testInhibition(t, map[string]inhibition{
		"absent telemetry silences what was last heard of the service": {
			alerts: []harness.Alert{
				alert("OtelmonTelemetryAbsent", "severity=critical", cart, shop, prod),
				alert("OtelmonHTTPHighErrorRate", "severity=critical", cart, shop, prod),
				alert("OtelmonSLOBurnRateWarning", "severity=warning", cart, shop, prod, "slo=orders"),
				alert("OtelmonLLMWaste", "severity=warning", cart, shop, prod, "gen_ai_request_model=m"),
				alert("OtelmonMemoryForecast", "severity=warning", cart, shop, prod),
			},
			wantInhibited: []string{"OtelmonHTTPHighErrorRate critical", "OtelmonLLMWaste warning", "OtelmonSLOBurnRateWarning warning"},
		},
		"absent telemetry silences a service without a namespace": {
			alerts: []harness.Alert{
				alert("OtelmonTelemetryAbsent", "severity=critical", cart),
				alert("OtelmonHTTPHighErrorRate", "severity=critical", cart),
			},
			wantInhibited: []string{"OtelmonHTTPHighErrorRate critical"},
		},
		"but not its namesake in a namespace": {
			alerts: []harness.Alert{
				alert("OtelmonTelemetryAbsent", "severity=critical", cart),
				alert("OtelmonHTTPHighErrorRate", "severity=critical", cart, shop),
			},
		},
		"nor its namesake in another environment": {
			alerts: []harness.Alert{
				alert("OtelmonTelemetryAbsent", "severity=critical", cart, shop, prod),
				alert("OtelmonHTTPHighErrorRate", "severity=critical", cart, shop, "deployment_environment_name=test"),
			},
		},
		"alerts of no service silence nothing": {
			alerts: []harness.Alert{
				alert("OtelmonTelemetryAbsent", "severity=critical"),
				alert("OtelmonHTTPHighErrorRate", "severity=critical"),
			},
		},
	})
}

func testInhibition(t *testing.T, tests map[string]inhibition) {
	t.Helper()
	alertmanager := harness.StartAlertmanager(t, harness.StartWebhookSink(t))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// All rules want this label to be equal, which keeps the cases apart.
			for _, a := range test.alerts {
				a.Labels["prometheus"] = name
			}
			alertmanager.Send(t, test.alerts...)
			harness.Eventually(t, 10*time.Second, "alerts", func() error {
				got, count, err := inhibited(alertmanager, name)
				if err != nil {
					return err
				}
				if diff := cmp.Diff(test.wantInhibited, got); diff != "" || count != len(test.alerts) {
					return fmt.Errorf("%d of %d alerts, inhibited (-want +got):\n%s", count, len(test.alerts), diff)
				}
				return nil
			})
		})
	}
}

// inhibited returns the alerts of a Prometheus that are inhibited, sorted, and how
// many it has in all.
func inhibited(alertmanager *harness.Alertmanager, prometheus string) (names []string, count int, err error) {
	alerts, err := alertmanager.Alerts()
	for _, a := range alerts {
		if a.Labels["prometheus"] != prometheus {
			continue
		}
		count++
		if len(a.Status.InhibitedBy) > 0 {
			names = append(names, a.Labels["alertname"]+" "+a.Labels["severity"])
		}
	}
	slices.Sort(names)
	return names, count, err
}

// What Alertmanager makes of a group is the same for all receivers; here it is read
// as Slack gets it.
func TestNotificationOfManyAlertsIsReadable(t *testing.T) {
	t.Parallel()
	sink := harness.StartWebhookSink(t)
	alertmanager := harness.StartAlertmanager(t, sink)
	var many []harness.Alert
	for i := range 20 {
		a := alert("OtelmonHTTPClientHighErrorRate", "severity=warning", "service_name=cart", "service_namespace=shop",
			"deployment_environment_name=prod", fmt.Sprintf("server_address=host-%02d", i))
		a.Annotations = map[string]string{
			"summary":     fmt.Sprintf("Calls of host-%02d fail", i),
			"description": fmt.Sprintf("%d %% of the calls of <host-%02d> & its like fail.", i, i),
			"dashboard":   "http://localhost:3000/d/otelmon-dependencies?var-service=cart",
			"runbook_url": "https://example.com/OtelmonHTTPClientHighErrorRate.md",
		}
		many = append(many, a)
	}
	alertmanager.Send(t, many...)
	harness.Eventually(t, 20*time.Second, "a message", func() error {
		if len(sink.Chat(t)) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	message := sink.Chat(t)[0].Attachments[0]
	if want := "[FIRING 20] warning: OtelmonHTTPClientHighErrorRate of shop/cart in prod"; message.Title != want {
		t.Errorf("title: got %q, want %q", message.Title, want)
	}
	want := []string{"*Firing*"}
	for i := range 10 {
		want = append(want, fmt.Sprintf("• %d %% of the calls of &lt;host-%02d&gt; &amp; its like fail.", i, i))
	}
	want = append(want, "• and more: 20 in all")
	lines := strings.Split(message.Text, "\n")
	links := lines[len(lines)-1]
	if diff := cmp.Diff(want, lines[:len(lines)-1]); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	for _, link := range []string{
		"<http://localhost:3000/d/otelmon-dependencies?var-service=cart|Dashboard>",
		"<https://example.com/OtelmonHTTPClientHighErrorRate.md|Runbook>",
		"|Alertmanager>",
	} {
		if !strings.Contains(links, link) {
			t.Errorf("the links lack %s: %s", link, links)
		}
	}
}

// highErrorRateGroup is what templates get of a group with two alerts of a service.
func highErrorRateGroup() map[string]any {
	return map[string]any{
		"status":      "firing",
		"externalURL": "http://localhost:9093",
		"commonLabels": map[string]string{
			"alertname": "OtelmonHTTPHighErrorRate", "severity": "critical", "service_name": "cart", "prometheus": "otelmon",
		},
		"commonAnnotations": map[string]string{
			"dashboard": "http://localhost:3000/d/otelmon-service?var-service=cart&var-namespace=shop",
			"summary":   "More than 1 % of the requests to <cart> fail",
		},
		"alerts": []map[string]any{
			{"status": "firing", "startsAt": "2026-01-02T03:04:05+01:00", "annotations": map[string]string{
				"description": "5 % have failed.", "runbook_url": "https://example.com/runbook.md",
			}},
			{"status": "resolved", "startsAt": "2026-01-02T03:00:00Z", "annotations": map[string]string{"description": "2 % have failed."}},
		},
	}
}

func TestMailInText(t *testing.T) {
	t.Parallel()
	wantSubject := "[FIRING 1] critical: OtelmonHTTPHighErrorRate of cart (otelmon)"
	if got := render(t, "text", "otelmon.title", highErrorRateGroup()); got != wantSubject {
		t.Errorf("subject: got %q, want %q", got, wantSubject)
	}
	want := `More than 1 % of the requests to <cart> fail

Firing:
- 5 % have failed. (2026-01-02 02:04 UTC)

Recovered:
- 2 % have failed. (2026-01-02 03:00 UTC)

Dashboard: http://localhost:3000/d/otelmon-service?var-service=cart&var-namespace=shop
Runbook: https://example.com/runbook.md
Alertmanager: http://localhost:9093`
	if diff := cmp.Diff(want, render(t, "text", "otelmon.text", highErrorRateGroup())); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

// Labels and annotations are text in HTML, and no markup.
func TestMailInHTML(t *testing.T) {
	t.Parallel()
	want := `<!doctype html>
<html>
<body>
<h3>[FIRING 1] critical: OtelmonHTTPHighErrorRate of cart (otelmon)</h3>
<p>More than 1 % of the requests to &lt;cart&gt; fail</p>
<p>Firing:</p>
<ul>
<li>5 % have failed. (2026-01-02 02:04 UTC)</li>
</ul>
<p>Recovered:</p>
<ul>
<li>2 % have failed. (2026-01-02 03:00 UTC)</li>
</ul>
<p>
<a href="http://localhost:3000/d/otelmon-service?var-service=cart&amp;var-namespace=shop">Dashboard</a>
<a href="https://example.com/runbook.md">Runbook</a>
<a href="http://localhost:9093">Alertmanager</a>
</p>
</body>
</html>`
	if diff := cmp.Diff(want, render(t, "html", "otelmon.html", highErrorRateGroup())); diff != "" {
		t.Errorf("HTML (-want +got):\n%s", diff)
	}
}

// A dead man's switch that hears of one Prometheus must notice the end of another.
func TestPrometheusServersAreNotifiedApart(t *testing.T) {
	t.Parallel()
	sink := harness.StartWebhookSink(t)
	alertmanager := harness.StartAlertmanager(t, sink)
	alertmanager.Send(t, alert("Watchdog", "severity=none", "prometheus=east"), alert("Watchdog", "severity=none", "prometheus=west"))
	harness.Eventually(t, 20*time.Second, "a notification about each", func() error {
		of := map[string]int{}
		for _, beat := range sink.Beats(t) {
			of[beat.GroupLabels["prometheus"]]++
		}
		if of["east"] == 0 || of["west"] == 0 {
			return fmt.Errorf("got %v", of)
		}
		return nil
	})
}

// The route that is an example sends to the chat what is not of production.
func TestRouteByEnvironment(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(harness.AlertmanagerConfig(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile(`(?m)^    #(- matchers: .*\n)    #(  receiver: chat\n)`)
	text := example.ReplaceAllString(string(b), "    $1    $2")
	if text == string(b) {
		t.Fatal("there is no example of a route")
	}
	config := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for receiver, labels := range map[string][]string{
		"page": {"severity=critical", cart, prod},
		"chat": {"severity=critical", cart, "deployment_environment_name=dev"},
	} {
		args := []string{"config", "routes", "test", "--config.file=" + config, "--verify.receivers=" + receiver}
		run(t, harness.Tool(t, "amtool"), append(args, labels...)...)
	}
	run(t, harness.Tool(t, "amtool"), "config", "routes", "test", "--config.file="+config, "--verify.receivers=page",
		"alertname=OtelmonCollectorDown", "severity=critical")
}

// render returns what amtool makes of one of the shipped templates.
func render(t *testing.T, kind, template string, data any) string {
	t.Helper()
	b, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "data.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), harness.Tool(t, "amtool"), "template", "render",
		"--template.glob="+filepath.Join(harness.Root(t), "deploy/alertmanager/*.tmpl"),
		"--template.text={{ template \""+template+"\" . }}",
		"--template.type="+kind,
		"--template.data="+file,
	).CombinedOutput()
	if err != nil {
		t.Fatalf("render %s: %v\n%s", template, err, out)
	}
	return string(out)
}

// alert makes an alert from its name and labels written name=value.
func alert(name string, labels ...string) harness.Alert {
	all := map[string]string{"alertname": name}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		all[key] = value
	}
	return harness.Alert{Labels: all}
}
