package repair

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Records returns the log records with valid text. It allocates for bad
// records, and for bodies and attributes that hold lists or maps.
func Records(records []sdklog.Record) []sdklog.Record {
	replace(&records, record)
	return records
}

func record(r sdklog.Record) (sdklog.Record, bool) {
	by, badResource := origin(r.Resource())
	from, badScope := scope(r.InstrumentationScope())
	body, badBody := value(r.Body())
	name, severity := r.EventName(), r.SeverityText()
	badText := texts(&name, &severity)
	badAttributes := false
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		_, badAttributes = KeyValue(kv)
		return !badAttributes
	})
	if !badResource && !badScope && !badBody && !badText && !badAttributes {
		return r, false
	}
	fixed := r.Clone()
	if badResource || badScope {
		fixed = moved(r, by, from)
	}
	fixed.SetEventName(name)
	fixed.SetSeverityText(severity)
	fixed.SetBody(body)
	attributes := attributesOf(r)
	replace(&attributes, KeyValue)
	fixed.SetAttributes(attributes...)
	return fixed, true
}

func attributesOf(r sdklog.Record) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, r.AttributesLen())
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		all = append(all, kv)
		return true
	})
	return all
}

// moved returns a record of another resource and scope, with all that is not
// text. Only a provider can make one.
func moved(r sdklog.Record, by *resource.Resource, from instrumentation.Scope) sdklog.Record {
	made := &catcher{}
	provider := sdklog.NewLoggerProvider(
		sdklog.WithResource(by),
		sdklog.WithProcessor(made),
		sdklog.WithAttributeCountLimit(-1),
		sdklog.WithAttributeValueLengthLimit(-1),
		sdklog.WithAllowKeyDuplication())
	provider.Logger(from.Name,
		log.WithInstrumentationVersion(from.Version),
		log.WithSchemaURL(from.SchemaURL),
		log.WithInstrumentationAttributes(from.Attributes.ToSlice()...),
	).Emit(context.Background(), log.Record{})
	made.record.SetTimestamp(r.Timestamp())
	made.record.SetObservedTimestamp(r.ObservedTimestamp())
	made.record.SetSeverity(r.Severity())
	made.record.SetTraceID(r.TraceID())
	made.record.SetSpanID(r.SpanID())
	made.record.SetTraceFlags(r.TraceFlags())
	return made.record
}

// catcher keeps the record that a provider makes.
type catcher struct{ record sdklog.Record }

func (*catcher) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (*catcher) Shutdown(context.Context) error                         { return nil }
func (*catcher) ForceFlush(context.Context) error                       { return nil }

func (c *catcher) OnEmit(_ context.Context, r *sdklog.Record) error {
	c.record = r.Clone()
	return nil
}
