package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	scheduling "k8s.io/api/scheduling/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/otelmon/toolkit/e2e/harness"
)

// cluster is what a folder of manifests would create, by kind.
type cluster struct {
	namespaces  []*core.Namespace
	accounts    []*core.ServiceAccount
	configMaps  []*core.ConfigMap
	services    []*core.Service
	daemonSets  []*apps.DaemonSet
	stateful    []*apps.StatefulSet
	deployments []*apps.Deployment
	scalers     []*autoscaling.HorizontalPodAutoscaler
	budgets     []*policy.PodDisruptionBudget
	policies    []*networking.NetworkPolicy
	priorities  []*scheduling.PriorityClass
	monitors    []*monitoring.PodMonitor
}

// build renders a folder's kustomization as kubectl does, and reads every object
// strictly: an unknown field is an error.
func build(t *testing.T, folder string) cluster {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = kustomize.LoadRestrictionsNone
	objects, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	var c cluster
	for _, object := range objects.Resources() {
		text, err := object.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		c.add(t, text)
	}
	return c
}

func (c *cluster) add(t *testing.T, text []byte) {
	t.Helper()
	var kind meta.TypeMeta
	if err := yaml.Unmarshal(text, &kind); err != nil {
		t.Fatal(err)
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Namespace":
		c.namespaces = read(t, text, c.namespaces)
	case "v1 ServiceAccount":
		c.accounts = read(t, text, c.accounts)
	case "v1 ConfigMap":
		c.configMaps = read(t, text, c.configMaps)
	case "v1 Service":
		c.services = read(t, text, c.services)
	case "apps/v1 DaemonSet":
		c.daemonSets = read(t, text, c.daemonSets)
	case "apps/v1 StatefulSet":
		c.stateful = read(t, text, c.stateful)
	case "apps/v1 Deployment":
		c.deployments = read(t, text, c.deployments)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		c.scalers = read(t, text, c.scalers)
	case "policy/v1 PodDisruptionBudget":
		c.budgets = read(t, text, c.budgets)
	case "networking.k8s.io/v1 NetworkPolicy":
		c.policies = read(t, text, c.policies)
	case "scheduling.k8s.io/v1 PriorityClass":
		c.priorities = read(t, text, c.priorities)
	case "monitoring.coreos.com/v1 PodMonitor":
		c.monitors = read(t, text, c.monitors)
	default:
		t.Errorf("an object of an unknown kind: %s %s", kind.APIVersion, kind.Kind)
	}
}

// read appends an object, read strictly.
func read[T any](t *testing.T, text []byte, list []*T) []*T {
	t.Helper()
	object := new(T)
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
	return append(list, object)
}

// collectors is the cluster of deploy/kubernetes.
func collectors(t *testing.T) cluster {
	t.Helper()
	return build(t, filepath.Join(harness.Root(t), "deploy/kubernetes"))
}

// example is the cluster of deploy/kubernetes/example, which is applied as it is.
func example(t *testing.T) cluster {
	t.Helper()
	var c cluster
	for document := range strings.SplitSeq(readFile(t, "deploy/kubernetes/example/shop.yaml"), "\n---\n") {
		c.add(t, []byte(document))
	}
	return c
}

// pods returns the pods' templates, by the name of what creates them.
func (c cluster) pods() map[string]core.PodTemplateSpec {
	pods := map[string]core.PodTemplateSpec{}
	for _, o := range c.daemonSets {
		pods[o.Name] = o.Spec.Template
	}
	for _, o := range c.stateful {
		pods[o.Name] = o.Spec.Template
	}
	for _, o := range c.deployments {
		pods[o.Name] = o.Spec.Template
	}
	return pods
}

// selected returns the names of the pods that a selector matches.
func (c cluster) selected(t *testing.T, selector *meta.LabelSelector) []string {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, pod := range c.pods() {
		if s.Matches(labels.Set(pod.Labels)) {
			names = append(names, name)
		}
	}
	return names
}

// port returns the number of a port that a pod offers, by name or number.
func port(pod core.PodTemplateSpec, p intstr.IntOrString) int32 {
	for _, container := range pod.Spec.Containers {
		for _, offered := range container.Ports {
			if offered.Name == p.StrVal || offered.ContainerPort == p.IntVal {
				return offered.ContainerPort
			}
		}
	}
	return 0
}
