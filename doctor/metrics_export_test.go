package doctor

import "context"

// Metrics is the check of a metrics page alone.
func Metrics(ctx context.Context, cfg Config) []Finding { return metrics(ctx, cfg.defaults()) }

// Collector is the check of a Collector alone.
func Collector(ctx context.Context, cfg Config) []Finding { return collector(ctx, cfg.defaults()) }

// ParsePage reads a page and applies all checks to it.
func ParsePage(text string, openMetrics bool) ([]Finding, error) {
	p, err := parsePage(context.Background(), text, openMetrics, false)
	if err != nil {
		return nil, err
	}
	return p.findings(context.Background()), nil
}
