package doctor

import "context"

// Prometheus is the check of a Prometheus alone.
func Prometheus(ctx context.Context, cfg Config) []Finding { return alone(ctx, cfg, prometheus) }

// Tempo is the check of a Tempo alone.
func Tempo(ctx context.Context, cfg Config) []Finding { return alone(ctx, cfg, tempo) }

func alone(ctx context.Context, cfg Config, check func(context.Context, Config) []Finding) []Finding {
	cfg = cfg.defaults()
	cfg.Client = newClient()
	defer cfg.Client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	return check(ctx, cfg)
}
