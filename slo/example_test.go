package slo_test

import (
	"fmt"

	"github.com/otelmon/toolkit/slo"
)

// One file a service says what is promised; the rules record how it is kept.
func Example() {
	f, err := slo.Parse([]byte(`
service: cart
slos:
  - name: availability
    objective: 99.9
  - name: latency
    objective: 99
    latency: 250ms
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	rules, err := slo.Rules(f)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, g := range rules.Groups {
		fmt.Printf("%s: %d rules, every %s\n", g.Name, len(g.Rules), g.Interval)
	}
	fmt.Println(rules.Groups[0].Rules[0].Expr)
	// Output:
	// otelmon-slo-cart: 7 rules, every 30s
	// sum by (deployment_environment_name, service_namespace, service_name) (
	//   service:http_server_requests:rate5m{service_name="cart"}
	// )
}

func ExampleParse_errors() {
	_, err := slo.Parse([]byte("service: cart\nslos:\n  - name: latency\n    objective: 100\n    latency: 300ms\n"))
	fmt.Println(err)
	// Output:
	// line 4: slos[0].objective: 100; accepted: percent from 50 to 99.999, such as 99.9
	// line 5: slos[0].latency: 300ms is no boundary of the service's latency histogram; accepted: 0.25s or 0.33s, or another once it is in latency_objectives, here and in the service's otelmon.Config
}
