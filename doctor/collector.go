package doctor

import "context"

func collector(context.Context, Config) []Finding { return nil }
