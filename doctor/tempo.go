package doctor

import "context"

func tempo(context.Context, Config) []Finding { return nil }
