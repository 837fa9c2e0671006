package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
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

// TestAProcessIsCountedOnce: agents of one process have counters of their own, and tell the same of the process.
func TestAProcessIsCountedOnce(t *testing.T) {
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "process_cpu_seconds_total 3\ngo_memstats_mallocs_total 5\nvarve_x_total 7\n")
	}))
	defer served.Close()
	at := strings.TrimPrefix(served.URL, "http://")
	for _, c := range []struct {
		pids []int
		cpu  float64
	}{{[]int{os.Getpid(), os.Getpid(), os.Getpid()}, 3}, {[]int{0, 0}, 6}, {[]int{os.Getpid(), os.Getppid()}, 6}} {
		var agents []Agent
		for _, pid := range c.pids {
			agents = append(agents, Agent{HTTP: at, PID: pid})
		}
		s, err := look(t.Context(), agents)
		if err != nil {
			t.Fatal(err)
		}
		if s.series["process_cpu_seconds_total"] != c.cpu || s.series["go_memstats_mallocs_total"] != c.cpu/3*5 || s.series["varve_x_total"] != float64(7*len(agents)) {
			t.Errorf("%v: %v", c.pids, s.series)
		}
	}
	if bytes, pairs := crossings(Series{`varve_xzone_bytes_total{dst="b",purpose="fetch",src="a"}`: 1, `varve_xzone_bytes_total{dst="b",purpose="produce",src="a"}`: 2, `varve_xzone_bytes_total{dst="a",purpose="produce",src="other"}`: 0}); len(pairs) != 1 || bytes[pairs[0]] != 3 || pairs[0] != "a_to_b" {
		t.Errorf("%v, %v", bytes, pairs)
	}
}

// TestASightIsOfTheMomentItEnds: an agent may take seconds to answer. A window that began before would be longer than what was
// counted in it, and its rates too small.
func TestASightIsOfTheMomentItEnds(t *testing.T) {
	var answered time.Time
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answered = time.Now()
		fmt.Fprint(w, "varve_x_total 7\n")
	}))
	defer served.Close()
	s, err := look(t.Context(), []Agent{{HTTP: strings.TrimPrefix(served.URL, "http://")}})
	if err != nil || s.at.Before(answered) || s.series["varve_x_total"] != 7 {
		t.Errorf("%v: %v, of %v, and the counters of %v", err, s.series, s.at, answered)
	}
}

// TestALateLookLeavesAWindow: of a run that nothing else ends.
func TestALateLookLeavesAWindow(t *testing.T) {
	looks := 0
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if looks++; looks == 1 {
			time.Sleep(200 * time.Millisecond)
		}
		fmt.Fprint(w, "varve_x_total 7\n")
	}))
	defer served.Close()
	s := &stage{live: &Live{}, load: Load{Warmup: time.Millisecond, Duration: 100 * time.Millisecond}}
	s.Agents = []Agent{{HTTP: strings.TrimPrefix(served.URL, "http://")}}
	var w window
	if err := s.watch(t.Context(), &w, time.Now(), nil); err != nil || w.took() < s.load.Duration || looks != 2 {
		t.Errorf("%v: %v of %v after %d looks", err, w.took(), s.load.Duration, looks)
	}
}

// TestCountersOutliveTheirAgents: what an agent counted before it was killed counts on, and one that does not answer loses nothing.
func TestCountersOutliveTheirAgents(t *testing.T) {
	says := "process_start_time_seconds 1\nvarve_x_total 7\nvarve_session_item_bytes 300\n"
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if says == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, says)
	}))
	defer served.Close()
	l := newLedger([]Agent{{HTTP: strings.TrimPrefix(served.URL, "http://")}})
	if l.sum() != nil {
		t.Error("something was seen before anybody looked")
	}
	l.look(t.Context())
	for _, c := range []struct {
		says string
		want float64
	}{
		{"process_start_time_seconds 1\nvarve_x_total 9\n", 9}, {"", 9}, {"process_start_time_seconds 2\nvarve_x_total 1\nvarve_session_item_bytes 200\n", 10},
		{"process_start_time_seconds 2\nvarve_x_total 4\nvarve_session_item_bytes 500\n", 13},
	} {
		says = c.says
		l.look(t.Context())
		if got := l.sum()["varve_x_total"]; got != c.want {
			t.Errorf("after %q: %v, want %v", c.says, got, c.want)
		}
	}
	if got := l.sum()[largestItem]; got != 500 {
		t.Errorf("the largest item of all runs is %v", got)
	}
}

// TestCPUModel: the first processor's name, of those that have one.
func TestCPUModel(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel\t\t: 106\nmodel name\t: Some CPU  @ 2.90GHz: x\n\nprocessor\t: 1\nmodel name\t: Another\n": "Some CPU @ 2.90GHz: x",
		"processor\t: 0\nBogoMIPS\t: 50.00\nCPU part\t: 0xd0c\n":                                                          "",
		"model name": "",
		"":           "",
	} {
		if got := parseModel(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
