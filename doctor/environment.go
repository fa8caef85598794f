package doctor

import "context"

func environment(context.Context, Config) []Finding { return nil }
