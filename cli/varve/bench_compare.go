package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/varvelog/varve/cli/bench"
)

// benchCompare is the flags of "varve bench compare".
type benchCompare struct {
	tolerance float64
	only      []string
	output    string
}

func benchCompareCommand() *command {
	b := &benchCompare{tolerance: 0.1}
	return &command{
		name: "compare", args: "A.json B.json", min: 2, max: 2,
		short: "set runs against runs, and fail if a number got worse",
		long: `Each file holds what one or several runs printed with --output json or jsonl, one after the other. Of several runs the medians
are compared; LOW and HIGH are the range of the ratios. Interleave the runs (A B A B): runs at the same place in both files are
taken for pairs. A number whose median is worse by more than --tolerance, and that is worse in every pair, makes it exit with 1;
numbers that only describe the machine or the load are shown and not judged. There is no ratio to 0: the table says "from-0", all
other output null; a cost that was 0 and is not is worse, whatever the tolerance. A run in which other processes took more than a tenth
of a processor is told: of such runs processor time and requests mean something, latencies and throughput do not.`,
		options: []*option{
			opt(&b.tolerance, parseTolerance, "tolerance", "SHARE", "how much worse a number may be, like 0.1 or 10%"),
			opt(&b.only, parseList, "only", "MEASURE,...", "judge and show these alone, like cpu_s_per_gib").withDefault("all"),
			outputOption(&b.output),
		},
		examples: []string{"varve bench compare before.json after.json", "varve bench compare before.json after.json --only put_per_gib,dollars_per_gb --tolerance 5%"},
		run:      b.run,
	}
}

// parseTolerance reads a share, or a number of percent.
func parseTolerance(s string) (float64, error) {
	text, unit := s, 1.0
	if n := len(s); n > 0 && s[n-1] == '%' {
		text, unit = s[:n-1], 100
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v/unit <= 10) {
		return 0, fmt.Errorf("%q is not a share (like 0.1 or 10%%)", s)
	}
	return v / unit, nil
}

func (b *benchCompare) run(_ context.Context, w *world, args []string) error {
	sides := make([][]bench.Report, 2)
	for i, name := range args {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		sides[i], err = bench.ReadReports(f)
		_ = f.Close() // it was only read
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, d := range bench.Differences(sides[0], sides[1]) {
		fmt.Fprintf(w.err, "the runs differ in %s\n", d)
	}
	for i, name := range args {
		if n := bench.Busy(sides[i]); n > 0 {
			fmt.Fprintf(w.err, "warning: %s: in %d of %d runs other processes took more than %v of a processor: believe no latency of theirs\n", name, n, len(sides[i]), bench.BusyCores)
		}
	}
	ratios := bench.Compare(sides[0], sides[1], b.tolerance)
	if err := b.choose(&ratios); err != nil {
		return err
	}
	d := document{listings: []listing{ratioListing(ratios, b.output == "table")}}
	if err := d.print(w.out, b.output); err != nil {
		return err
	}
	worse := 0
	for _, r := range ratios {
		if r.Worse {
			worse++
			fmt.Fprintln(w.err, worseThan(r, b.tolerance))
		}
	}
	if worse > 0 {
		return errSaid
	}
	return nil
}

// choose leaves the measures of --only.
func (b *benchCompare) choose(ratios *[]bench.Ratio) error {
	if len(b.only) == 0 {
		if len(*ratios) == 0 {
			return fmt.Errorf("the files have no number in common")
		}
		return nil
	}
	var all []string
	for _, r := range *ratios {
		all = append(all, r.Name)
	}
	for _, name := range b.only {
		if !slices.Contains(all, name) {
			return usagef("--only: the files have no common %q%s", name, didYouMean(name, all, ""))
		}
	}
	*ratios = slices.DeleteFunc(*ratios, func(r bench.Ratio) bool { return !slices.Contains(b.only, r.Name) })
	return nil
}

// worseThan says what got worse, and by how much.
func worseThan(r bench.Ratio, tolerance float64) string {
	if math.IsInf(r.Ratio, 0) {
		return fmt.Sprintf("%s is worse: it was 0 and is %s", r.Name, rounded(r.B))
	}
	return fmt.Sprintf("%s is worse: %s times what it was, beyond the tolerance of %s", r.Name, rounded(r.Ratio), rounded(tolerance))
}

// fromZero takes the place of a ratio to 0 in a table.
const fromZero = "from-0"

// ratioListing is rounded for people.
func ratioListing(ratios []bench.Ratio, people bool) listing {
	l := listing{name: "measures", columns: []column{
		{"MEASURE", "measure"}, {"A", "a"}, {"B", "b"}, {"RATIO", "ratio"}, {"LOW", "low"}, {"HIGH", "high"}, {"BETTER", "better"}, {"WORSE", "worse"},
	}}
	for _, r := range ratios {
		row := []any{r.Name, r.A, r.B, r.Ratio, r.Low, r.High, r.Direction, r.Worse}
		for i := 1; i < 6; i++ {
			v := row[i].(float64)
			switch {
			case people && math.IsInf(v, 0):
				row[i] = fromZero
			case people:
				row[i] = rounded(v)
			case math.IsInf(v, 0):
				row[i] = nil // JSON has no word for it
			}
		}
		l.rows = append(l.rows, row)
	}
	return l
}
