package exporters_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/otelmon/toolkit/exporters"
)

// startOnly makes the test's executable start a pipeline and no test, so that
// another one sees what the SDK prints.
const startOnly = "EXPORTERS_TEST_START_ONLY"

func TestMain(m *testing.M) {
	if os.Getenv(startOnly) != "" {
		_, err := exporters.OTLP{}.Start(context.Background())
		fmt.Println("started:", err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
