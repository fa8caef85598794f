package dashboards

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// tag marks the dashboards that link to each other.
const tag = "otelmon"

// link is a finished link. The SDK's builder would put it into a menu of its own.
type link dashboard.DashboardLink

// Build implements cog.Builder.
func (l link) Build() (dashboard.DashboardLink, error) { return dashboard.DashboardLink(l), nil }

// links makes links fit for the SDK's Links and DataLinks.
func links(links ...link) []cog.Builder[dashboard.DashboardLink] {
	builders := make([]cog.Builder[dashboard.DashboardLink], 0, len(links))
	for _, link := range links {
		builders = append(builders, link)
	}
	return builders
}

// otherDashboards is the menu at the head of each page; it keeps what is selected and the time.
func otherDashboards() link {
	return link{
		Title: "otelmon", Type: dashboard.DashboardLinkTypeDashboards, Tags: []string{tag},
		AsDropdown: true, IncludeVars: true, KeepTime: true,
	}
}

// linkTo is a link of a value or a panel to a URL, in which Grafana fills in its variables.
func linkTo(title, url string) link {
	return link{Title: title, Type: dashboard.DashboardLinkTypeLink, Tags: []string{}, Url: &url}
}

// Services that pageURL opens a page of. Services of one name may run in several environments, so that the environment
// and the namespace belong to a service: a table or graph that uses one of the last two has to have all $identity labels.
const (
	// keepService are the services selected here.
	keepService = "${environment:queryparam}&${namespace:queryparam}&${service:queryparam}"
	// rowService is that of a row of a table.
	rowService = "var-environment=${__data.fields.deployment_environment_name:percentencode}" +
		"&var-namespace=${__data.fields.service_namespace:percentencode}" +
		"&var-service=${__data.fields.service_name:percentencode}"
	// seriesService is that of a line of a graph.
	seriesService = "var-environment=${__field.labels.deployment_environment_name:percentencode}" +
		"&var-namespace=${__field.labels.service_namespace:percentencode}" +
		"&var-service=${__field.labels.service_name:percentencode}"
)

// pageURL opens another page of a service, at the same time, with further variables such as "var-model=other".
func pageURL(uid, service string, variables ...string) string {
	return "/d/" + uid + "?" + strings.Join(append([]string{"${datasource:queryparam}", service, "${__url_time_range}"}, variables...), "&")
}

// toService opens the Service page of rowService or seriesService.
func toService(service string) link {
	return linkTo("Open the service", pageURL("otelmon-service", service))
}

// toTraces searches Tempo with a TraceQL query for the time shown. ${service:pipe} in it is what is selected.
func toTraces(title, traceQL string) link {
	return linkTo(title, exploreURL("tempo", `"queryType":"traceql","query":`+quote(traceQL)))
}

// toLogs searches Loki for the time shown.
func toLogs(title, logQL string) link {
	return linkTo(title, exploreURL("loki", `"expr":`+quote(logQL)))
}

// exploreURL opens Grafana's Explore with one query, given as members of a JSON object.
func exploreURL(source, query string) string {
	panes := `{"otelmon":{"datasource":"` + source + `","queries":[{"refId":"A","datasource":{"type":"` + source +
		`","uid":"` + source + `"},` + query + `}],"range":{"from":"${__from}","to":"${__to}"}}}`
	return "/explore?schemaVersion=1&panes=" + escape(panes)
}

// quote makes a JSON string of text that holds no control characters.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// escape makes text fit for a URL, but for the variables that Grafana fills in.
func escape(text string) string {
	variable := regexp.MustCompile(`\$\{[^}]+\}`)
	var escaped strings.Builder
	last := 0
	for _, at := range variable.FindAllStringIndex(text, -1) {
		escaped.WriteString(url.PathEscape(text[last:at[0]]))
		escaped.WriteString(text[at[0]:at[1]])
		last = at[1]
	}
	escaped.WriteString(url.PathEscape(text[last:]))
	return strings.NewReplacer("&", "%26", "+", "%2B", "=", "%3D").Replace(escaped.String())
}
