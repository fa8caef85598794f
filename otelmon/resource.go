package otelmon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelmon/toolkit/internal/diag"
	"github.com/otelmon/toolkit/internal/env"
	"github.com/otelmon/toolkit/internal/process"
	"github.com/otelmon/toolkit/internal/repair"
	"github.com/otelmon/toolkit/internal/telemetry"
)

// detectTimeout bounds the user's detectors, which may ask the network.
const detectTimeout = 2 * time.Second

// source is where resource attributes come from: a variable or field, or "" for
// what was found without either.
type source struct {
	name       string
	attributes []attribute.KeyValue
}

// newResource describes the service: what was detected, then what the
// variables say, then what the fields say, each winning over the one before.
func (c Config) newResource(ctx context.Context, vars *env.Reader, log *diag.Log, metricsPath string) *resource.Resource {
	sources := slices.Concat(
		[]source{{"", c.builtIn(ctx)}, {"Config.Detectors", c.detected(ctx, vars)}},
		kubernetes(vars),
		fromVariables(vars),
		c.fromFields(vars),
		[]source{{"OTELMON_METRICS_PATH", []attribute.KeyValue{telemetry.MetricsPath.String(metricsPath)}}})
	var attributes []attribute.KeyValue
	for _, s := range sources {
		attributes = append(attributes, s.attributes...)
	}
	set := attribute.NewSet(attributes...)
	if name, ok := set.Value(telemetry.ServiceName); !ok || name.AsString() == "" {
		name := "unknown_service:" + filepath.Base(os.Args[0])
		log.Warn("service name", "the service has no name, set OTEL_SERVICE_NAME or Config.ServiceName", "service.name", name)
		vars.Note("OTEL_SERVICE_NAME", "the service has no name")
		sources = append(sources, source{"", []attribute.KeyValue{telemetry.ServiceName.String(name)}})
		attributes = append(attributes, telemetry.ServiceName.String(name))
	}
	for i, kv := range attributes {
		attributes[i] = validText(vars, "resource attribute", kv)
	}
	recordIdentity(vars, sources)
	return resource.NewWithAttributes(telemetry.SchemaURL, attributes...)
}

// builtIn leaves out what the SDK's WithProcess adds besides: the command
// line, where secrets are, and the owner, whose look-up fails in containers
// without a user database.
func (c Config) builtIn(ctx context.Context) []attribute.KeyValue {
	// An error means that single attributes are missing, which is no reason to
	// complain on every start in a container.
	found, _ := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithOSType(),
		resource.WithContainerID(),
		resource.WithProcessPID(),
		resource.WithProcessExecutableName(),
		resource.WithProcessRuntimeName(),
		resource.WithProcessRuntimeVersion(),
		resource.WithService())
	attributes := slices.DeleteFunc(found.Attributes(), func(kv attribute.KeyValue) bool {
		return kv.Key == telemetry.ServiceName // unknown_service, told apart above
	})
	return append(attributes, append(buildInfo(),
		telemetry.ProcessStart.String(process.StartTime(ctx).UTC().Format(time.RFC3339Nano)),
		telemetry.DistroName.String("otelmon"),
		telemetry.DistroVersion.String(telemetry.Version))...)
}

// buildInfo takes the version from what the Go command wrote into the binary.
func buildInfo() []attribute.KeyValue {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var attributes []attribute.KeyValue
	version := strings.Trim(info.Main.Version, "()") // "(devel)" says nothing
	if version == "devel" {
		version = ""
	}
	for _, setting := range info.Settings {
		if setting.Key != "vcs.revision" {
			continue
		}
		attributes = append(attributes, telemetry.VCSRevision.String(setting.Value))
		if version == "" {
			version = setting.Value
		}
	}
	if version != "" {
		attributes = append(attributes, telemetry.ServiceVersion.String(version))
	}
	return attributes
}

// detected runs the user's detectors side by side. What they return besides an
// error is kept; one that ignores the end of its context is left behind.
func (c Config) detected(ctx context.Context, vars *env.Reader) []attribute.KeyValue {
	ctx, cancel := context.WithTimeout(ctx, detectTimeout)
	defer cancel()
	answers := make([]chan detection, len(c.Detectors))
	for i, detector := range c.Detectors {
		answers[i] = make(chan detection, 1)
		go func() {
			attributes, err := detect(ctx, detector)
			answers[i] <- detection{attributes, err}
		}()
	}
	var attributes []attribute.KeyValue
	for i, answer := range answers {
		d := await(ctx, answer)
		attributes = append(attributes, d.attributes...)
		if d.err != nil {
			vars.Add(fmt.Errorf("Config.Detectors[%d]: %w", i, d.err))
		}
	}
	return attributes
}

type detection struct {
	attributes []attribute.KeyValue
	err        error
}

// await prefers an answer that is there, also when ctx has ended over another
// detector.
func await(ctx context.Context, answer <-chan detection) detection {
	select {
	case d := <-answer:
		return d
	case <-ctx.Done():
	}
	select {
	case d := <-answer:
		return d
	default:
		return detection{err: fmt.Errorf("no answer in time: %w", ctx.Err())}
	}
}

func detect(ctx context.Context, detector resource.Detector) (attributes []attribute.KeyValue, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	if detector == nil {
		return nil, errors.New("nil detector")
	}
	found, err := detector.Detect(ctx)
	if errors.Is(err, resource.ErrPartialResource) || errors.Is(err, resource.ErrSchemaURLConflict) {
		err = nil // what was found is usable
	}
	return found.Attributes(), err
}

// kubernetes reads what the downward API was told to put into variables.
func kubernetes(vars *env.Reader) []source {
	var sources []source
	for _, v := range []struct {
		key   attribute.Key
		names []string // the last wins
	}{
		{telemetry.K8SCluster, []string{"K8S_CLUSTER_NAME"}},
		{telemetry.K8SNamespace, []string{"POD_NAMESPACE", "K8S_NAMESPACE_NAME"}},
		{telemetry.K8SNode, []string{"NODE_NAME", "K8S_NODE_NAME"}},
		{telemetry.K8SPod, []string{"POD_NAME", "K8S_POD_NAME"}},
		{telemetry.K8SPodUID, []string{"POD_UID", "K8S_POD_UID"}},
		{telemetry.K8SContainer, []string{"K8S_CONTAINER_NAME"}},
		{telemetry.K8SDeployment, []string{"K8S_DEPLOYMENT_NAME"}},
	} {
		for _, name := range v.names {
			if value := vars.Text(name); value != "" {
				sources = append(sources, source{name, []attribute.KeyValue{v.key.String(value)}})
			}
		}
	}
	return sources
}

func fromVariables(vars *env.Reader) []source {
	const list, service = "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"
	var attributes []attribute.KeyValue
	pairs, _ := vars.Pairs(list)
	for _, pair := range pairs {
		attributes = append(attributes, attribute.String(pair.Key, pair.Value))
	}
	sources := []source{{list, attributes}}
	if name := vars.Text(service); name != "" {
		sources = append(sources, source{service, []attribute.KeyValue{telemetry.ServiceName.String(name)}})
	}
	return sources
}

func (c Config) fromFields(vars *env.Reader) []source {
	var attributes []attribute.KeyValue
	seen := make(map[attribute.Key]bool)
	for _, kv := range c.Attributes {
		if seen[kv.Key] {
			vars.Refuse("Config.Attributes", fmt.Errorf("Config.Attributes: key %q is there twice, the last value is used; accepted: each key once", kv.Key))
		}
		seen[kv.Key] = true
		attributes = append(attributes, validText(vars, "Config.Attributes", kv))
	}
	sources := []source{{"Config.Attributes", attributes}}
	for _, f := range c.identity() {
		if f.value != "" {
			sources = append(sources, source{f.field, []attribute.KeyValue{validText(vars, f.field, f.key.String(f.value))}})
		}
	}
	return sources
}

// identityField is a field that is one resource attribute.
type identityField struct {
	field, value string
	key          attribute.Key
}

func (c Config) identity() []identityField {
	return []identityField{
		{"Config.ServiceName", c.ServiceName, telemetry.ServiceName},
		{"Config.ServiceNamespace", c.ServiceNamespace, telemetry.ServiceNamespace},
		{"Config.ServiceVersion", c.ServiceVersion, telemetry.ServiceVersion},
		{"Config.ServiceInstanceID", c.ServiceInstanceID, telemetry.ServiceInstanceID},
		{"Config.Environment", c.Environment, telemetry.Environment},
	}
}

// validText repairs an attribute: one that is not UTF-8 would make every OTLP
// request undeliverable.
func validText(vars *env.Reader, field string, kv attribute.KeyValue) attribute.KeyValue {
	repaired, bad := repair.KeyValue(kv)
	if bad {
		vars.Add(fmt.Errorf("%s %q=%q: not valid UTF-8, bad bytes replaced; accepted: UTF-8 text", field, kv.Key, kv.Value.String()))
	}
	return repaired
}
