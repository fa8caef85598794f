package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The arguments, variables and files under deploy are ones that the command
// takes.
func TestDeployedConfigurationsAreAccepted(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T) (args []string, vars map[string]string){
		"of docker-compose.yaml":     composed,
		"of the Kubernetes side-car": sidecar,
		"of the systemd unit":        unit,
	}
	for name, deployed := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args, vars := deployed(t)
			given, _, err := parse(args)
			if err != nil {
				t.Fatal(err)
			}
			from := sources{given, variables(vars)}
			o, err := from.read()
			if err != nil {
				t.Fatal(err)
			}
			if err := from.try(o); err != nil {
				t.Error(err)
			}
			for name := range vars {
				if strings.HasPrefix(name, "OTELMON_PROXY_") && !isVariable(name) {
					t.Errorf("there is no variable %s", name)
				}
			}
		})
	}
}

func isVariable(name string) bool {
	for _, s := range append(settings(), fileSetting()) {
		if s.variable() == name {
			return true
		}
	}
	return false
}

func readDeployed(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func composed(t *testing.T) (args []string, vars map[string]string) {
	t.Helper()
	var file struct {
		Services struct {
			Proxy struct {
				Command     []string
				Environment map[string]string
			} `yaml:"llm-proxy"`
		}
	}
	if err := yaml.Unmarshal([]byte(readDeployed(t, "docker-compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	service := file.Services.Proxy
	defaults := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)
	for name, value := range service.Environment { // what compose does
		service.Environment[name] = defaults.ReplaceAllString(value, "$1")
	}
	return service.Command, service.Environment
}

func sidecar(t *testing.T) (args []string, vars map[string]string) {
	t.Helper()
	var configMap struct{ Data map[string]string }
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					InitContainers []struct{ Args []string } `yaml:"initContainers"`
				}
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(readDeployed(t, "deploy/proxy/kubernetes.yaml")))
	for _, document := range []any{&configMap, &deployment} {
		if err := decoder.Decode(document); err != nil {
			t.Fatal(err)
		}
	}
	path := write(t, configMap.Data["proxy.yaml"])
	for _, arg := range deployment.Spec.Template.Spec.InitContainers[0].Args {
		args = append(args, strings.Replace(arg, "/etc/otelmon/proxy.yaml", path, 1))
	}
	return args, nil
}

func unit(t *testing.T) (args []string, vars map[string]string) {
	t.Helper()
	_, line, found := strings.Cut(readDeployed(t, "deploy/proxy/otelmon-proxy.service"), "\nExecStart=/usr/local/bin/otelmon proxy ")
	if !found {
		t.Fatal("the unit does not start the proxy")
	}
	line, _, _ = strings.Cut(line, "\n")
	return strings.Fields(strings.Replace(line, "/etc/otelmon/", "../../deploy/proxy/", 1)), nil
}
