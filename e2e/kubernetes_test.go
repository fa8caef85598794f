package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/otelmon/toolkit/e2e/harness"
)

func TestKubernetesPodsAreConfined(t *testing.T) {
	t.Parallel()
	pods := collectors(t).pods()
	maps.Copy(pods, example(t).pods())
	if len(pods) != 3 {
		t.Errorf("got %d kinds of pods, want agent, gateway and shop", len(pods))
	}
	for name, pod := range pods {
		check := func(ok bool, want string) {
			if !ok {
				t.Errorf("%s: want %s", name, want)
			}
		}
		s := pod.Spec
		check(s.AutomountServiceAccountToken != nil && !*s.AutomountServiceAccountToken, "no access to the API")
		check(!s.HostNetwork && !s.HostPID && !s.HostIPC, "nothing of the host")
		check(s.SecurityContext.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "the runtime's seccomp profile")
		check(*s.SecurityContext.RunAsNonRoot && *s.SecurityContext.RunAsUser > 0, "a user other than root")
		for _, v := range s.Volumes {
			check(v.HostPath == nil, "no path of the host")
			check(v.EmptyDir == nil || v.EmptyDir.SizeLimit != nil, "a bound on the volume "+v.Name)
		}
		for _, container := range s.Containers {
			security := container.SecurityContext
			check(*security.ReadOnlyRootFilesystem, "a read-only root")
			check(!*security.AllowPrivilegeEscalation, "no new privileges")
			check(slices.Equal(security.Capabilities.Drop, []core.Capability{"ALL"}) && len(security.Capabilities.Add) == 0, "no capabilities")
			check(container.ReadinessProbe != nil, "a readiness probe")
			for _, probe := range []*core.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
				check(probe == nil || port(pod, probe.HTTPGet.Port) != 0, "probes on a port that is there")
			}
			for _, p := range container.Ports {
				check(p.HostPort == 0, "no port of the host")
			}
			check(!container.Resources.Requests.Cpu().IsZero() && !container.Resources.Requests.Memory().IsZero(), "requests")
			limit := container.Resources.Limits.Memory().Value()
			check(limit > 0, "a limit of memory")
			var soft string
			for _, v := range container.Env {
				if v.Name == "GOMEMLIMIT" {
					soft = v.Value
				}
			}
			check(fourFifths(soft, limit), "GOMEMLIMIT at 80 % of the limit")
		}
	}
}

// fourFifths reports whether a value of GOMEMLIMIT, such as 410MiB, is 80 % of a
// limit in bytes.
func fourFifths(value string, limit int64) bool {
	soft, err := strconv.ParseInt(strings.TrimSuffix(value, "MiB"), 10, 64)
	share := float64(soft<<20) / float64(limit)
	return err == nil && share > 0.79 && share < 0.81
}

func TestKubernetesRunsTheTestedCollector(t *testing.T) {
	t.Parallel()
	want := compose(t).Services["collector"].Image
	for name, pod := range collectors(t).pods() {
		if got := pod.Spec.Containers[0].Image; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// The arguments and files of each container are given to the real Collector.
func TestKubernetesCollectorsAcceptTheirConfig(t *testing.T) {
	t.Parallel()
	c := collectors(t)
	for name, pod := range c.pods() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for _, m := range c.configMaps {
				if !slices.ContainsFunc(pod.Spec.Volumes, func(v core.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == m.Name }) {
					continue
				}
				for file, text := range m.Data {
					text = strings.ReplaceAll(text, "/var/lib/otelcol", folder)
					if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			container := pod.Spec.Containers[0]
			command := exec.CommandContext(t.Context(), harness.Tool(t, "collector"), "validate")
			for _, arg := range container.Args {
				command.Args = append(command.Args, strings.Replace(arg, "/etc/otelcol", folder, 1))
			}
			for _, v := range container.Env {
				command.Env = append(command.Env, v.Name+"="+v.Value)
			}
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", command.Args, err, out)
			}
		})
	}
}

func TestKubernetesPortsAreThoseOfTheConfig(t *testing.T) {
	t.Parallel()
	pods := collectors(t).pods()
	for name, file := range map[string]string{"otelmon-agent": "collector-config.yaml", "otelmon-gateway": "deploy/gateway/gateway.yaml"} {
		var config collectorConfig
		readYAML(t, file, &config)
		var open []string
		for _, listener := range config.listeners() {
			open = append(open, listener[strings.LastIndex(listener, ":")+1:])
		}
		for _, p := range pods[name].Spec.Containers[0].Ports {
			if !slices.Contains(open, fmt.Sprint(p.ContainerPort)) {
				t.Errorf("%s: nothing listens on port %s, %d; %s has %v", name, p.Name, p.ContainerPort, file, open)
			}
		}
		if got := pods[name].Annotations["prometheus.io/port"]; !slices.Contains(open, got) {
			t.Errorf("%s: Prometheus is sent to port %s; %s has %v", name, got, file, open)
		}
	}
}

func TestKubernetesServicesLeadToPods(t *testing.T) {
	t.Parallel()
	c := collectors(t)
	pods := c.pods()
	for _, s := range c.services {
		targets := c.selected(t, &meta.LabelSelector{MatchLabels: s.Spec.Selector})
		if len(targets) != 1 {
			t.Errorf("service %s leads to %v, want one kind of pod", s.Name, targets)
			continue
		}
		for _, p := range s.Spec.Ports {
			if port(pods[targets[0]], p.TargetPort) != p.Port {
				t.Errorf("service %s: port %s of %s is not %d", s.Name, p.TargetPort.String(), targets[0], p.Port)
			}
		}
	}
	agent, gateway := c.services[0], c.services[1]
	if agent.Spec.InternalTrafficPolicy == nil || *agent.Spec.InternalTrafficPolicy != core.ServiceInternalTrafficPolicyLocal {
		t.Error("the agent's service leads to other nodes")
	}
	if gateway.Spec.ClusterIP != core.ClusterIPNone {
		t.Error("the gateways' service is not headless, so that agents see one address")
	}
	if c.stateful[0].Spec.ServiceName != gateway.Name {
		t.Errorf("the gateways belong to the service %s", c.stateful[0].Spec.ServiceName)
	}
	resolver := "{dns: {hostname: " + gateway.Name + "}}"
	if !slices.Contains(pods["otelmon-agent"].Spec.Containers[0].Env, core.EnvVar{Name: "OTELMON_GATEWAYS", Value: resolver}) {
		t.Errorf("agents do not find the gateways by %s", resolver)
	}
	address := fmt.Sprintf("http://%s.%s:4317", agent.Name, agent.Namespace)
	shop := example(t).deployments[0].Spec.Template.Spec.Containers[0]
	if !slices.Contains(shop.Env, core.EnvVar{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: address}) {
		t.Errorf("the example does not send to %s", address)
	}
}

func TestKubernetesGatewaysGrowAndStay(t *testing.T) {
	t.Parallel()
	c := collectors(t)
	gateway, scaler, budget := c.stateful[0], c.scalers[0], c.budgets[0]
	if target := scaler.Spec.ScaleTargetRef; target.Kind != "StatefulSet" || target.Name != gateway.Name || target.APIVersion != "apps/v1" {
		t.Errorf("the autoscaler is for %+v", target)
	}
	if *scaler.Spec.MinReplicas < 2 || scaler.Spec.MaxReplicas <= *scaler.Spec.MinReplicas {
		t.Errorf("from %d to %d gateways", *scaler.Spec.MinReplicas, scaler.Spec.MaxReplicas)
	}
	if gateway.Spec.Replicas != nil {
		t.Error("applying the manifests again undoes what the autoscaler did")
	}
	if got := c.selected(t, budget.Spec.Selector); !slices.Equal(got, []string{gateway.Name}) {
		t.Errorf("the disruption budget is for %v", got)
	}
	mounts := gateway.Spec.Template.Spec.Containers[0].VolumeMounts
	claim := gateway.Spec.VolumeClaimTemplates[0].Name
	if !slices.ContainsFunc(mounts, func(m core.VolumeMount) bool { return m.Name == claim && m.MountPath == "/var/lib/otelcol" }) {
		t.Errorf("the queues are not on the volume %s", claim)
	}
	if want := c.daemonSets[0].Spec.Template.Spec.PriorityClassName; len(c.priorities) != 1 || c.priorities[0].Name != want {
		t.Errorf("there is no priority class %s", want)
	}
}

// outside are pods that the policies name and others run.
var outside = []string{"prometheus", "tempo", "kube-dns"}

func TestKubernetesPoliciesMeanPodsThatAreThere(t *testing.T) {
	t.Parallel()
	c := collectors(t)
	shop := example(t)
	c.deployments = append(c.deployments, shop.deployments...)
	pods := c.pods()
	isolated := map[string][]networking.PolicyType{}
	for _, p := range append(c.policies, shop.policies...) {
		subjects := c.selected(t, &p.Spec.PodSelector)
		if len(subjects) == 0 {
			t.Errorf("policy %s is for no pod", p.Name)
		}
		for _, subject := range subjects {
			isolated[subject] = append(isolated[subject], p.Spec.PolicyTypes...)
			for _, rule := range p.Spec.Ingress {
				c.checkPeers(t, p.Name, rule.From)
				for _, allowed := range rule.Ports {
					if port(pods[subject], *allowed.Port) == 0 {
						t.Errorf("policy %s: %s has no port %s", p.Name, subject, allowed.Port)
					}
				}
			}
		}
		for _, rule := range p.Spec.Egress {
			for _, target := range c.checkPeers(t, p.Name, rule.To) {
				for _, allowed := range rule.Ports {
					if port(pods[target], *allowed.Port) == 0 {
						t.Errorf("policy %s: %s has no port %s", p.Name, target, allowed.Port)
					}
				}
			}
		}
	}
	for name := range pods {
		if !slices.Contains(isolated[name], networking.PolicyTypeIngress) || !slices.Contains(isolated[name], networking.PolicyTypeEgress) {
			t.Errorf("nothing confines the traffic of %s", name)
		}
	}
}

// checkPeers returns the pods of this cluster among the peers, and fails when one
// is neither here nor outside. A rule without peers allows everybody.
func (c cluster) checkPeers(t *testing.T, name string, peers []networking.NetworkPolicyPeer) []string {
	t.Helper()
	if len(peers) == 0 {
		t.Errorf("policy %s has a rule for everybody", name)
	}
	var here []string
	for _, peer := range peers {
		if peer.PodSelector == nil {
			continue // a namespace
		}
		found := c.selected(t, peer.PodSelector)
		here = append(here, found...)
		value := slices.Collect(maps.Values(peer.PodSelector.MatchLabels))
		if len(found) == 0 && (len(value) != 1 || !slices.Contains(outside, value[0])) {
			t.Errorf("policy %s: nobody is %v", name, peer.PodSelector.MatchLabels)
		}
	}
	return here
}

func TestKubernetesGatewaysMayReachTheirBackends(t *testing.T) {
	t.Parallel()
	c := collectors(t)
	var gateway, backends collectorConfig
	readYAML(t, "deploy/gateway/gateway.yaml", &gateway)
	readYAML(t, "deploy/kubernetes/backends.yaml", &backends)
	if len(backends.Exporters) < 2 {
		t.Errorf("backends.yaml has %d exporters", len(backends.Exporters))
	}
	var allowed []string
	for _, p := range c.policies {
		if p.Name != "otelmon-gateway" {
			continue
		}
		for _, rule := range p.Spec.Egress {
			for _, peer := range rule.To {
				allowed = append(allowed, peer.PodSelector.MatchLabels["app.kubernetes.io/name"]+":"+rule.Ports[0].Port.String())
			}
		}
	}
	for name, exporter := range backends.Exporters {
		if _, ok := gateway.Exporters[name]; !ok {
			t.Errorf("gateway.yaml has no exporter %s", name)
		}
		if address := hostOf(t, exporter.Endpoint); !slices.Contains(allowed, address) {
			t.Errorf("%s is not among %v", address, allowed)
		}
	}
}

func TestKubernetesPodMonitorFindsThePods(t *testing.T) {
	t.Parallel()
	c := collectors(t)
	c.add(t, []byte(readFile(t, "deploy/kubernetes/pod-monitor/pod-monitor.yaml")))
	monitor := c.monitors[0]
	targets := c.selected(t, &monitor.Spec.Selector)
	if len(targets) != 2 {
		t.Errorf("it finds %v, want agent and gateway", targets)
	}
	for _, target := range targets {
		if port(c.pods()[target], intstr.FromString(*monitor.Spec.PodMetricsEndpoints[0].Port)) == 0 {
			t.Errorf("%s has no port %s", target, *monitor.Spec.PodMetricsEndpoints[0].Port)
		}
	}

	// With the base, as the comment in its kustomization.yaml says.
	overlay := t.TempDir()
	base, err := filepath.Rel(overlay, filepath.Join(harness.Root(t), "deploy/kubernetes"))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("resources: [%s]\ncomponents: [%s/pod-monitor]\n", base, base)
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := len(build(t, overlay).monitors); got != 1 {
		t.Errorf("got %d pod monitors with the component, want 1", got)
	}
}
