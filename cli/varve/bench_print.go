package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/varvelog/varve/cli/bench"
)

// settingsOf are all flags of a command but how to print.
func settingsOf(c *command) []bench.Setting {
	settings := []bench.Setting{}
	for _, o := range c.options {
		if o.name != "output" && o.now != nil {
			settings = append(settings, bench.Setting{Name: o.name, Value: o.now()})
		}
	}
	return settings
}

// verdict is what reading back has shown, in one line.
func verdict(v bench.Verified) string {
	return fmt.Sprintf("%d records: %d lost, %d doubled, %d reordered, %d damaged, %d failed", v.Records, v.Lost, v.Doubled, v.Reordered, v.Damaged, v.Failed)
}

// reportDocument is a report for people if format is table, else with all there is, by the names that bench.Report has.
func reportDocument(r *bench.Report, format string) document {
	if format == "table" {
		return reportTable(r)
	}
	d := document{fields: []docField{
		{"command", r.Command}, {"version", r.Version}, {"at", r.At}, {"os", r.OS}, {"arch", r.Arch}, {"cpus", r.CPUs}, {"cpu_model", r.CPUModel},
		{"seconds", r.Seconds}, {"verified", r.Verified},
	}}
	d.fields = append(d.fields, docField{"criterion", r.Criterion})
	settings := listing{name: "settings", columns: []column{{"", "setting"}, {"", "value"}}}
	for _, s := range r.Settings {
		settings.rows = append(settings.rows, []any{s.Name, s.Value})
	}
	latencies := listing{name: "latencies"}
	for _, name := range []string{"latency", "count", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"} {
		latencies.columns = append(latencies.columns, column{"", name})
	}
	for _, l := range r.Latencies {
		row := []any{l.Name, l.Count, l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max}
		if l.Count == 0 {
			clear(row[2:])
		}
		latencies.rows = append(latencies.rows, row)
	}
	measures := listing{name: "measures", columns: []column{{"", "measure"}, {"", "value"}}}
	for _, m := range r.Measures {
		measures.rows = append(measures.rows, []any{m.Name, m.Value})
	}
	d.listings = []listing{settings, trialListing(r), latencies, measures}
	return d
}

// trialListing is the rates that a search has tried.
func trialListing(r *bench.Report) listing {
	l := listing{name: "trials", columns: []column{
		{"TRIED", "rate_per_s"}, {"ACKED", "got_per_s"}, {"GROWTH-MS", "growth_ms"}, {"P99-MS", "p99_ms"}, {"STABLE", "stable"}, {"NOT-IN-PLACE", "not_in_place"},
	}}
	for _, t := range r.Trials {
		l.rows = append(l.rows, []any{t.Rate, t.Got, t.Growth, t.P99, t.Stable, t.Lost})
	}
	return l
}

// machine is what a run was measured on.
func machine(r *bench.Report) string {
	model := ""
	if r.CPUModel != "" {
		model = " (" + r.CPUModel + ")"
	}
	return fmt.Sprintf("%d CPUs%s, %s/%s", r.CPUs, model, r.OS, r.Arch)
}

// reportTable has the percentiles beside the price, then everything that was measured.
func reportTable(r *bench.Report) document {
	var flags []string
	for _, s := range r.Settings {
		if s.Value != "" && s.Value != "[]" {
			flags = append(flags, s.Name+"="+s.Value)
		}
	}
	d := document{fields: []docField{
		{"command", r.Command + " for " + rounded(r.Seconds) + " s"}, {"verified", verdict(r.Verified)},
		{"machine", machine(r)}, {"version", r.Version}, {"settings", strings.Join(flags, " ")},
	}}
	price := func(name string) any {
		if v, ok := r.Get(name); ok {
			return rounded(v)
		}
		return nil
	}
	perGB, perMonth := price("dollars_per_gb"), price("dollars_per_month")
	latencies := listing{name: "latencies", columns: []column{
		{"MS", ""}, {"P50", ""}, {"P90", ""}, {"P99", ""}, {"P999", ""}, {"MAX", ""}, {"COUNT", ""}, {"USD-PER-GB", ""}, {"USD-PER-MONTH", ""},
	}}
	for _, l := range r.Latencies {
		row := []any{l.Name, rounded(l.P50), rounded(l.P90), rounded(l.P99), rounded(l.P999), rounded(l.Max), l.Count, perGB, perMonth}
		if l.Count == 0 {
			clear(row[1:6])
		}
		latencies.rows = append(latencies.rows, row)
	}
	measures := listing{name: "measures", columns: []column{{"MEASURE", ""}, {"VALUE", ""}}}
	for _, m := range r.Measures {
		measures.rows = append(measures.rows, []any{m.Name, price(m.Name)})
	}
	trials := trialListing(r)
	for _, row := range trials.rows {
		for i := range 4 {
			row[i] = rounded(row[i].(float64))
		}
	}
	if r.Criterion != "" {
		d.fields = append(d.fields, docField{"criterion", r.Criterion})
	}
	d.listings = []listing{trials, latencies, measures}
	return d
}

// rounded writes v with three significant digits, or all of its whole ones.
func rounded(v float64) string {
	if math.Abs(v) >= 100 || v == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return strconv.FormatFloat(v, 'f', max(0, digits), 64)
}
