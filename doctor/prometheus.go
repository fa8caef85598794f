package doctor

import "context"

func prometheus(context.Context, Config) []Finding { return nil }
