package doctor

import "context"

// pageFacts are what the page of metrics of a service tells about itself.
type pageFacts struct {
	service   string
	exemplars []exemplar
}

// maxExemplars bounds how many are considered.
const maxExemplars = 10_000

// pageOf reads the page that cfg names; nothing of one that cannot be read, which
// the findings of metrics tell.
func pageOf(ctx context.Context, cfg Config) (facts pageFacts) {
	if cfg.MetricsURL == "" {
		return facts
	}
	p, _, _ := cfg.page.read(ctx, cfg)
	if p == nil {
		return facts
	}
	for _, s := range p.all() {
		if facts.service == "" {
			facts.service = s.get("service_name")
		}
		if e := s.exemplar; e != nil && !e.at.IsZero() && len(facts.exemplars) < maxExemplars {
			facts.exemplars = append(facts.exemplars, *e)
		}
	}
	return facts
}
