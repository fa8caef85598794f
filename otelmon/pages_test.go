package otelmon_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// formats of the metrics page.
var formats = map[string]expfmt.Format{
	"text":        expfmt.NewFormat(expfmt.TypeTextPlain),
	"OpenMetrics": expfmt.NewFormat(expfmt.TypeOpenMetrics),
	"protobuf":    expfmt.NewFormat(expfmt.TypeProtoDelim),
}

// page returns the metrics page in a format. A password goes with the user
// called user.
func page(t *testing.T, url string, format expfmt.Format, password string) (body []byte, answer *http.Response) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", string(format))
	if password != "" {
		request.SetBasicAuth("user", password)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err = client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return body, answer
}

// families returns what is on the metrics page.
func families(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	body, answer := page(t, url, formats["protobuf"], "")
	all := make(map[string]*dto.MetricFamily)
	decoder := expfmt.NewDecoder(bytes.NewReader(body), expfmt.ResponseFormat(answer.Header))
	for {
		var family dto.MetricFamily
		switch err := decoder.Decode(&family); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("decoding the metrics page, status %s: %v", answer.Status, err)
		}
		all[family.GetName()] = &family
	}
}

// byError adds up the series of a family by error_type, those without it under
// "". A label that is given, name and value, selects series.
func byError(family *dto.MetricFamily, label ...string) map[string]float64 {
	values := make(map[string]float64)
	for _, series := range family.GetMetric() {
		labels := make(map[string]string)
		for _, pair := range series.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		if len(label) == 2 && labels[label[0]] != label[1] {
			continue
		}
		values[labels["error_type"]] += series.GetCounter().GetValue() + series.GetGauge().GetValue()
	}
	return values
}
