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

// Values that a link takes from what was clicked.
const (
	// rowService and rowEndpoint are of a row of a table, seriesService is of a line of a graph.
	rowService    = "${__data.fields.service_name:percentencode}"
	rowEndpoint   = "${__data.fields.http_route:percentencode}"
	seriesService = "${__field.labels.service_name:percentencode}"
	// keepService is a variable of pageURL: the services selected here.
	keepService = "${service:queryparam}"
)

// pageURL opens another page with the environment and namespace selected here, the time, and further variables, such as
// keepService or "var-service=" + rowService.
func pageURL(uid string, variables ...string) string {
	return "/d/" + uid + "?${datasource:queryparam}&${environment:queryparam}&${namespace:queryparam}&" +
		strings.Join(append(variables, "${__url_time_range}"), "&")
}

// toService opens the Service page of one service, which is rowService or seriesService.
func toService(service string) link {
	return linkTo("Open the service", pageURL("otelmon-service", "var-service="+service))
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
