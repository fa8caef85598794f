package repair

import (
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Metrics returns the metrics with valid text. It allocates for bad metrics,
// and for attributes that hold lists or maps.
func Metrics(metrics *metricdata.ResourceMetrics) *metricdata.ResourceMetrics {
	by, bad := origin(metrics.Resource)
	scopes := metrics.ScopeMetrics
	if !replace(&scopes, scopeMetrics) && !bad {
		return metrics
	}
	return &metricdata.ResourceMetrics{Resource: by, ScopeMetrics: scopes}
}

func scopeMetrics(s metricdata.ScopeMetrics) (metricdata.ScopeMetrics, bool) {
	from, bad := scope(s.Scope)
	s.Scope = from
	badMetrics := replace(&s.Metrics, metric)
	return s, bad || badMetrics
}

func metric(m metricdata.Metrics) (metricdata.Metrics, bool) {
	bad := texts(&m.Name, &m.Description, &m.Unit)
	data, badData := aggregation(m.Data)
	m.Data = data
	return m, bad || badData
}

func aggregation(data metricdata.Aggregation) (metricdata.Aggregation, bool) {
	bad := false
	switch d := data.(type) {
	case metricdata.Gauge[int64]:
		if bad = replace(&d.DataPoints, point[int64]); bad {
			data = d
		}
	case metricdata.Gauge[float64]:
		if bad = replace(&d.DataPoints, point[float64]); bad {
			data = d
		}
	case metricdata.Sum[int64]:
		if bad = replace(&d.DataPoints, point[int64]); bad {
			data = d
		}
	case metricdata.Sum[float64]:
		if bad = replace(&d.DataPoints, point[float64]); bad {
			data = d
		}
	default:
		return distribution(data)
	}
	return data, bad
}

// distribution repairs what has more than a value to a data point.
func distribution(data metricdata.Aggregation) (metricdata.Aggregation, bool) {
	bad := false
	switch d := data.(type) {
	case metricdata.Histogram[int64]:
		if bad = replace(&d.DataPoints, histogram[int64]); bad {
			data = d
		}
	case metricdata.Histogram[float64]:
		if bad = replace(&d.DataPoints, histogram[float64]); bad {
			data = d
		}
	case metricdata.ExponentialHistogram[int64]:
		if bad = replace(&d.DataPoints, exponential[int64]); bad {
			data = d
		}
	case metricdata.ExponentialHistogram[float64]:
		if bad = replace(&d.DataPoints, exponential[float64]); bad {
			data = d
		}
	case metricdata.Summary:
		if bad = replace(&d.DataPoints, summary); bad {
			data = d
		}
	}
	return data, bad
}

func point[N int64 | float64](p metricdata.DataPoint[N]) (metricdata.DataPoint[N], bool) {
	attributes, bad := set(p.Attributes)
	p.Attributes = attributes
	badExemplars := replace(&p.Exemplars, exemplar[N])
	return p, bad || badExemplars
}

func histogram[N int64 | float64](p metricdata.HistogramDataPoint[N]) (metricdata.HistogramDataPoint[N], bool) {
	attributes, bad := set(p.Attributes)
	p.Attributes = attributes
	badExemplars := replace(&p.Exemplars, exemplar[N])
	return p, bad || badExemplars
}

func exponential[N int64 | float64](p metricdata.ExponentialHistogramDataPoint[N]) (metricdata.ExponentialHistogramDataPoint[N], bool) {
	attributes, bad := set(p.Attributes)
	p.Attributes = attributes
	badExemplars := replace(&p.Exemplars, exemplar[N])
	return p, bad || badExemplars
}

func summary(p metricdata.SummaryDataPoint) (metricdata.SummaryDataPoint, bool) {
	attributes, bad := set(p.Attributes)
	p.Attributes = attributes
	return p, bad
}

func exemplar[N int64 | float64](e metricdata.Exemplar[N]) (metricdata.Exemplar[N], bool) {
	bad := replace(&e.FilteredAttributes, KeyValue)
	return e, bad
}
