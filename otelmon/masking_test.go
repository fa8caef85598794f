package otelmon_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/otelmon/toolkit/exporters"
	"github.com/otelmon/toolkit/internal/faultcollector"
	"github.com/otelmon/toolkit/otelmon"
)

// What a Collector says is cut short, and header values in it are masked: no
// part of one may be left over.
func TestNoPartOfASecretIsLeftOver(t *testing.T) {
	t.Parallel()
	const secret = "tenant-1f3a9c77e5b24d80"
	alone := map[string]string{"Authorization": secret}
	among := maps.Clone(alone)
	for i := range 8 {
		among[fmt.Sprintf("X-%d", i)] = secret[:len("tenant-")+i]
	}
	for name, row := range map[string]struct {
		headers map[string]string
		answer  string
	}{
		"a secret that begins like others": {among, "you are not " + secret},
		"a secret where the text is cut":   {alone, strings.Repeat("-", 480) + secret},
		"a secret where a status comes in": {alone, strings.Repeat("-", 465) + secret},
		"a secret behind the cut":          {alone, strings.Repeat("-", 600) + secret},
	} {
		for _, protocol := range protocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				s := setUp(t, otelmon.Config{ServiceName: "test", OTLP: exporters.OTLP{Protocol: protocol, Headers: row.headers}})
				s.collector.Answer(faultcollector.Always(faultcollector.Reply{Code: codes.Unauthenticated, Message: row.answer}))
				s.emit(t)
				err := s.ForceFlush(patience(t))
				if err == nil {
					t.Fatal("got no error although everything was refused")
				}
				text := err.Error() + s.log.String()
				for _, part := range []string{"tenant-", secret[len(secret)-8:]} {
					if strings.Contains(text, part) {
						t.Errorf("%q is left of the secret: %s", part, text)
					}
				}
			})
		}
	}
}
