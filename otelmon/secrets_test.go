package otelmon_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/middleware"
	"github.com/otelmon/toolkit/otelmon"
)

// canary is in every secret of these tests; found is in what is no secret, to
// show that a search would find it.
const canary, found = "canary", "found-it"

// Not parallel: sets environment variables and the command line.
func TestSecretsAreInNoTelemetryAndNoLog(t *testing.T) {
	t.Setenv("DATABASE_PASSWORD", canary+"-environment")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20"+canary+"-token,x-tenant="+canary+"-tenant")
	arguments := os.Args
	os.Args = append(slices.Clone(os.Args), "--password="+canary+"-argument")
	t.Cleanup(func() { os.Args = arguments })
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			file, hash := passwordFile(t)
			s := setUp(t, otelmon.Config{
				ServiceName: "test",
				Prometheus:  exporters.Prometheus{WebConfigFile: file},
				OTLP:        exporters.OTLP{Protocol: protocol, Headers: map[string]string{"X-Api-Key": canary + "-key"}},
			})
			if s.setupErr != nil {
				t.Fatal(s.setupErr)
			}
			said := newLines() // what errors say
			note := func(err error) {
				if err == nil {
					t.Error("got no error from a Collector that refuses")
					return
				}
				_, _ = said.Write([]byte(err.Error() + "\n"))
			}
			shop := startShop(t, s)

			echo := "you are not Bearer " + canary + "-token of " + canary + "-tenant with " + canary + "-key"
			s.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated, Message: echo}))
			shop.order(t)
			note(s.ForceFlush(patience(t)))
			s.collector.Answer(faultcollector.Always(faultcollector.Reply{Rejected: 1, Message: echo}))
			shop.order(t)
			note(s.ForceFlush(patience(t)))
			s.collector.Heal()
			shop.order(t)
			if err := s.ForceFlush(patience(t)); err != nil {
				t.Error(err)
			}
			pages := make(map[string][]byte)
			for name, format := range formats {
				body, answer := page(t, s.MetricsURL(), format, canary+"-password")
				if answer.StatusCode != http.StatusOK {
					t.Errorf("%s: got status %s", name, answer.Status)
				}
				pages["the metrics page as "+name] = body
				pages["the metrics page as "+name+" without a password"], answer = page(t, s.MetricsURL(), format, canary+"-wrong")
				if answer.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: got status %s with a wrong password", name, answer.Status)
				}
			}
			s.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: codes.PermissionDenied, Message: echo}))
			shop.order(t)
			note(s.Shutdown(patience(t)))

			everything := encoded(t, s.collector.Received())
			maps.Copy(everything, pages)
			everything["the log"] = []byte(s.log.String())
			everything["the errors"] = []byte(said.String())
			basic := base64.StdEncoding.EncodeToString([]byte("user:" + canary + "-userinfo"))
			for name, body := range everything {
				for _, secret := range []string{canary, basic, hash} {
					if at := bytes.Index(body, []byte(secret)); at >= 0 {
						t.Errorf("%s has a secret: %q", name, body[max(0, at-100):min(len(body), at+100)])
					}
				}
				plain := strings.Contains(name, "without") || name == "the log" || name == "the errors"
				if !plain && !bytes.Contains(body, []byte(found)) {
					t.Errorf("%s does not have what it should have, so that the search proves nothing", name)
				}
			}
			for _, name := range []string{"the log", "the errors"} {
				if !bytes.Contains(everything[name], []byte("[masked]")) {
					t.Errorf("%s does not have what the Collector said: %s", name, everything[name])
				}
			}
		})
	}
}

// passwordFile is a web configuration with a user who has a password.
func passwordFile(t *testing.T) (path, hash string) {
	t.Helper()
	content, err := bcrypt.GenerateFromPassword([]byte(canary+"-password"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(path, []byte("basic_auth_users:\n  user: "+string(content)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, string(content)
}

// encoded returns the bytes of what arrived, by signal.
func encoded(t *testing.T, got faultcollector.Received) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	add := func(signal string, request proto.Message) {
		content, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		all[signal] = append(all[signal], content...)
	}
	for _, request := range got.Traces {
		add("traces", request)
	}
	for _, request := range got.Metrics {
		add("metrics", request)
	}
	for _, request := range got.Logs {
		add("logs", request)
	}
	return all
}

// shop is a service that calls another one for each order; both ends see
// secrets wherever HTTP has room for them.
type shop struct {
	url    string
	client *http.Client
}

func startShop(t *testing.T, s *service) *shop {
	t.Helper()
	stock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secretHeaders(w.Header())
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, canary+"-response")
	}))
	t.Cleanup(stock.Close)
	orders, err := s.MeterProvider().Meter("shop").Int64Counter("orders")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: middleware.Transport(transport, middleware.Config{
		TracerProvider: s.TracerProvider(), MeterProvider: s.MeterProvider(), Propagator: s.Propagator(),
	})}
	log := slog.New(s.SlogHandler(nil))
	url := s.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		ctx, item := r.Context(), attribute.String("item", found)
		trace.SpanFromContext(ctx).SetAttributes(item)
		orders.Add(ctx, 1, metric.WithAttributes(item))
		log.InfoContext(ctx, "ordered", "item", found)
		for _, address := range []string{stock.URL + "/items", stock.URL + "/broken", "http://" + absent + "/items"} {
			_ = post(ctx, client, address) // the last cannot be reached
		}
		secretHeaders(w.Header())
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, canary+"-response")
	}))
	return &shop{url: url, client: client}
}

func (s *shop) order(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := post(ctx, s.client, s.url+"/order"); err != nil {
		t.Fatal(err)
	}
}

// post sends secrets in each part of a request but the path, which is recorded.
func post(ctx context.Context, client *http.Client, address string) error {
	address = strings.Replace(address, "http://", "http://user:"+canary+"-userinfo@", 1) + "?token=" + canary + "-query#" + canary + "-fragment"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(canary+"-body"))
	if err != nil {
		return err
	}
	secretHeaders(r.Header)
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func secretHeaders(header http.Header) {
	for _, name := range []string{"Cookie", "Set-Cookie", "X-Api-Key", "Baggage", "Referer", "Proxy-Authorization", "Www-Authenticate", "Location"} {
		header.Set(name, "secret="+canary+"-"+strings.ToLower(name))
	}
}

func TestErrorsOfSetupHaveNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = canary + "-password"
	for name, cfg := range map[string]otelmon.Config{
		"an endpoint with a password":        {OTLP: exporters.OTLP{Endpoint: "http://user:" + secret + "@127.0.0.1:4317"}},
		"an endpoint with a query":           {OTLP: exporters.OTLP{Endpoint: "http://127.0.0.1:4317/?token=" + secret}},
		"an endpoint that cannot be parsed":  {OTLP: exporters.OTLP{Endpoint: "http://user:" + secret + "@[::1"}},
		"an endpoint with another scheme":    {OTLP: exporters.OTLP{Endpoint: "ftp://user:" + secret + "@127.0.0.1:4317"}},
		"a header that is none":              {OTLP: exporters.OTLP{Headers: map[string]string{"authorization": secret + "\n"}}},
		"a key of a header that is none":     {OTLP: exporters.OTLP{Headers: map[string]string{"a key": secret}}},
		"a Pushgateway with a password":      {PushgatewayURL: "http://user:" + secret + "@127.0.0.1"},
		"a web configuration with a mistake": {Prometheus: exporters.Prometheus{WebConfigFile: mistaken(t, secret)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setUp(t, cfg)
			if s.setupErr == nil {
				t.Fatal("got no error")
			}
			s.emit(t)
			err := flushUntil(t, s, 5*time.Second)
			if text := s.setupErr.Error() + errorText(err) + s.log.String(); strings.Contains(text, canary) {
				t.Errorf("the secret is shown: %s", text)
			}
		})
	}
}

// mistaken is a web configuration with a password in clear.
func mistaken(t *testing.T, password string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(path, []byte("basic_auth_users:\n  user: "+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
