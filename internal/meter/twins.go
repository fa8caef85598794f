package meter

import (
	"strings"

	"github.com/otelmon/toolkit/internal/telemetry"
)

// sdkPrefix begins the names of what an SDK tells about itself. With OTEL_GO_X_OBSERVABILITY the SDK for Go and its
// exporters make such instruments, but the toolkit emits these names itself, with other values of otel.component.name.
const sdkPrefix = "otel.sdk."

// leftOut reports whether the instrument is one of those twins, which record nothing.
func leftOut(id identity, m *scopedMeter) bool {
	return strings.HasPrefix(id.name, sdkPrefix) && !strings.HasPrefix(m.scope.Name, telemetry.Scope)
}

// warnLeftOut logs one line until the next Set.
func (gen *generation) warnLeftOut(id identity, m *scopedMeter) {
	gen.twins.Do(func() {
		gen.warnLater("metric instruments named "+sdkPrefix+"* of other scopes are left out, because otelmon emits these metrics",
			"scope", m.scope.Name, "instrument", id.name)
	})
}
