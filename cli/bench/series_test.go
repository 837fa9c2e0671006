package bench

import (
	"strings"
	"testing"
)

const sampleSeries = `# HELP varve_s3_requests_total Requests to the object store.
# TYPE varve_s3_requests_total counter
varve_s3_requests_total{class="standard",op="put",purpose="wal",result="ok"} 12
varve_s3_requests_total{class="standard",op="put",purpose="snapshot",result="ok"} 3 1395066363000
varve_s3_requests_total{class="standard",op="get",purpose="tail",result="ok"} 1e+06
varve_s3_requests_total_more 7

odd{label="a } b {"} +Inf
process_cpu_seconds_total 1.5
`

func TestParseSeries(t *testing.T) {
	s, err := ParseSeries(strings.NewReader(sampleSeries))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
		ok     bool
	}{
		{"varve_s3_requests_total", nil, 1_000_015, true},
		{"varve_s3_requests_total", []string{`op="put"`}, 15, true},
		{"varve_s3_requests_total", []string{`op="put"`, `purpose="wal"`}, 12, true},
		{"varve_s3_requests_total", []string{`op="list"`}, 0, false},
		{"process_cpu_seconds_total", nil, 1.5, true},
		{"varve_s3", nil, 0, false},
	} {
		if got, ok := s.Sum(c.name, c.labels...); got != c.want || ok != c.ok {
			t.Errorf("%s %q: %v, %v", c.name, c.labels, got, ok)
		}
	}
	if len(s) != 6 {
		t.Errorf("%d series: %v", len(s), s)
	}
	d := s.Since(Series{"process_cpu_seconds_total": 1}).plus(Series{"process_cpu_seconds_total": 2})
	if d["process_cpu_seconds_total"] != 2.5 || d["varve_s3_requests_total_more"] != 7 {
		t.Errorf("%v", d)
	}
}

func TestParseSeriesRefuses(t *testing.T) {
	for _, text := range []string{"a", "a b", "a{x=\"y\"}", "{", "a 1 2\nb\n", " 5", "a{} x"} {
		if s, err := ParseSeries(strings.NewReader(text)); err == nil {
			t.Errorf("%q: %v", text, s)
		}
	}
	if _, err := ParseSeries(strings.NewReader("a " + strings.Repeat("1", maxSeriesLine))); err == nil {
		t.Error("a line without end is read")
	}
}

func FuzzParseSeries(f *testing.F) {
	f.Add(sampleSeries)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSeries(strings.NewReader(text)); err == nil {
			s.Sum("a", `b="c"`)
		}
	})
}
