package doctor

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/otelmon/toolkit/internal/env"
)

// secretsOf masks the credentials that are in the environment and in cfg, which
// servers like to repeat.
func secretsOf(cfg Config) *strings.Replacer {
	var secrets []string
	for _, raw := range []string{cfg.MetricsURL, cfg.PrometheusURL, cfg.TempoURL, cfg.CollectorURL} {
		secrets = append(secrets, secretsInURL(raw)...)
	}
	vars := &env.Reader{}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		upper := strings.ToUpper(name)
		switch {
		case strings.HasPrefix(upper, "OTEL") && strings.HasSuffix(upper, "_HEADERS"):
			pairs, _ := vars.Pairs(name)
			for _, pair := range pairs {
				secrets = append(secrets, secretsInHeader([]string{pair.Value})...)
			}
		case strings.HasPrefix(upper, "OTEL"), strings.HasSuffix(upper, "_PROXY"):
			secrets = append(secrets, secretsInURL(value)...)
			for _, pair := range secretPairs.FindAllStringSubmatch(value, -1) {
				secrets = append(secrets, pair[1])
			}
		}
	}
	return masking(secrets)
}

// secretPairs are those whose names say that they do not belong into a variable
// that is shown, such as resource attributes.
var secretPairs = regexp.MustCompile(`(?i)(?:passw(?:or)?d|secret|token|api.?key|authorization|credentials?)=([^,;&]+)`)

// secretsInURL returns what is a credential in a URL: the password, the user
// where there is none, both as a header has them, and values in the query that
// are not those of Prometheus or Tempo.
func secretsInURL(raw string) (secrets []string) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	if password, _ := u.User.Password(); u.User.Username() != "" {
		secrets = append(secrets, cmp.Or(password, u.User.Username()),
			base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	for name, values := range u.Query() {
		if !questions.MatchString(name) {
			secrets = append(secrets, values...)
		}
	}
	return secrets
}

// questions are parameters that say what is asked for.
var questions = regexp.MustCompile(`^(query|match\[\]|q|time|start|end|limit|type)$`)

// secretsInHeader returns the values, and what follows a scheme in them.
func secretsInHeader(values []string) (secrets []string) {
	for _, value := range values {
		_, credentials, _ := strings.Cut(value, " ")
		secrets = append(secrets, value, credentials)
	}
	return secrets
}

// masking hides secrets that are long enough to be some.
func masking(secrets []string) *strings.Replacer {
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // one may begin with another
	var pairs []string
	for _, secret := range secrets {
		if len(secret) >= 4 {
			pairs = append(pairs, secret, "[masked]", url.QueryEscape(secret), "[masked]")
		}
	}
	return strings.NewReplacer(pairs...)
}
