package doctor

import "context"

func metrics(context.Context, Config) []Finding { return nil }
