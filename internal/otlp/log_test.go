package otlp_test

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/otelmon/toolkit/internal/otlp"
)

// catcher keeps the record that a provider makes: only a provider can.
type catcher struct{ record sdklog.Record }

func (*catcher) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (*catcher) Shutdown(context.Context) error                         { return nil }
func (*catcher) ForceFlush(context.Context) error                       { return nil }

func (c *catcher) OnEmit(_ context.Context, r *sdklog.Record) error {
	c.record = r.Clone()
	return nil
}

// record makes an empty record, which takes any attributes.
func record(r *resource.Resource, s instrumentation.Scope, options ...sdklog.LoggerProviderOption) sdklog.Record {
	made := &catcher{}
	options = append([]sdklog.LoggerProviderOption{
		sdklog.WithResource(r), sdklog.WithProcessor(made), sdklog.WithAllowKeyDuplication(),
		sdklog.WithAttributeCountLimit(-1), sdklog.WithAttributeValueLengthLimit(-1),
	}, options...)
	sdklog.NewLoggerProvider(options...).Logger(s.Name,
		log.WithInstrumentationVersion(s.Version), log.WithSchemaURL(s.SchemaURL),
		log.WithInstrumentationAttributes(s.Attributes.ToSlice()...),
	).Emit(context.Background(), log.Record{})
	made.record.SetObservedTimestamp(time.Time{})
	return made.record
}

func fullRecord(options ...sdklog.LoggerProviderOption) sdklog.Record {
	r := record(
		resource.NewWithAttributes("https://example.com/resource", everyKind()...),
		instrumentation.Scope{
			Name: "scope", Version: "v1", SchemaURL: "https://example.com/scope", Attributes: attribute.NewSet(everyKind()...),
		}, options...)
	at := time.Unix(1_800_000_000, 123_456_789)
	r.SetTimestamp(at)
	r.SetObservedTimestamp(at.Add(time.Second))
	r.SetSeverity(log.SeverityWarn2)
	r.SetSeverityText("WARN+1")
	r.SetEventName("app.started")
	r.SetBody(attribute.MapValue(everyKind()...))
	r.SetAttributes(everyKind()...)
	r.SetTraceID(traceID)
	r.SetSpanID(spanID)
	r.SetTraceFlags(0xff)
	return r
}

func TestLogRecordEqualsTheExporters(t *testing.T) {
	t.Parallel()
	change := func(change func(*sdklog.Record)) sdklog.Record {
		r := fullRecord()
		change(&r)
		return r
	}
	records := map[string]sdklog.Record{
		"with everything":          fullRecord(),
		"with nothing":             record(resource.Empty(), instrumentation.Scope{}),
		"that dropped attributes":  fullRecord(sdklog.WithAttributeCountLimit(2)),
		"without ids":              change(func(r *sdklog.Record) { r.SetTraceID([16]byte{}); r.SetSpanID([8]byte{}) }),
		"without times":            change(func(r *sdklog.Record) { r.SetTimestamp(time.Time{}); r.SetObservedTimestamp(time.Time{}) }),
		"of a time before 1970":    change(func(r *sdklog.Record) { r.SetTimestamp(time.Unix(-1, 0)) }),
		"of an unknown severity":   change(func(r *sdklog.Record) { r.SetSeverity(25) }),
		"of a negative severity":   change(func(r *sdklog.Record) { r.SetSeverity(-1) }),
		"of no scope":              record(resource.NewSchemaless(everyKind()...), instrumentation.Scope{}),
		"of a scope with a schema": record(resource.NewSchemaless(everyKind()...), instrumentation.Scope{SchemaURL: "x"}),
	}
	for s := log.SeverityUndefined; s <= log.SeverityFatal4; s++ {
		records["of the severity "+s.String()] = change(func(r *sdklog.Record) { r.SetSeverity(s) })
	}
	for _, body := range everyKind() {
		records["with the body "+string(body.Key)] = change(func(r *sdklog.Record) { r.SetBody(body.Value) })
	}
	for name, record := range records {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := []sdklog.Record{record}
			got, cut := encodedLogs(t, otlp.Encoder{}, records)
			compare(t, got, exportedLogs(t, records))
			if cut != 0 {
				t.Errorf("got %d values cut without a limit, want 0", cut)
			}
		})
	}
}
