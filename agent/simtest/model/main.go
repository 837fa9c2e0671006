package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	cfg := flag.String("cfg", "base", "configuration")
	limit := flag.Int("limit", 20_000_000, "most states")
	budget := flag.Duration("time", 5*time.Minute, "most time for one search")
	graph := flag.Bool("graph", false, "check progress and leaks too (keeps all edges)")
	walk := flag.Int("walk", 0, "random walks instead, this many")
	first := flag.Int64("seed", 1, "first seed")
	depth := flag.Int("depth", 150, "steps of a walk")
	mut := flag.String("mutants", "", "run the mutants: holes, rules, life or all")
	only := flag.String("only", "", "only the mutant of this name")
	loss := flag.Bool("loss", false, "check consequences only")
	verbose := flag.Bool("v", false, "print the last state of a trace")
	all := flag.Bool("all", false, "search every configuration whole, then walk in the deep ones")
	flag.Parse()
	if *all {
		os.Exit(runLife(os.Stdout, *limit, "") + runAll(*limit))
	}
	if *mut != "" {
		missed := runLifeMutants(os.Stdout, *only, *limit, *budget, *verbose)
		if *mut != "life" {
			missed += runMutants(*mut, *only, *limit, *budget, *loss, *verbose)
		}
		os.Exit(missed)
	}
	if _, ok := lifeConfig(*cfg); ok {
		os.Exit(runLife(os.Stdout, *limit, *cfg))
	}
	m := &Model{Cfg: config(*cfg)}
	m.Drop.LossOnly = *loss
	var r Result
	if *walk > 0 {
		r = m.Walk(*first, *walk, *depth, *budget)
		fmt.Printf("%s: %d walks from seed %d, %d steps, depth %d, %v\n", m.Name, r.Seeds, *first, r.Steps, r.Depth, r.Took.Round(time.Millisecond))
	} else {
		r = m.BFS(*limit, *budget, *graph)
		fmt.Printf("%s: %d states, %d steps, depth %d, widest %d, complete %v, truncated %d, stuck %v, %v\n", m.Name, r.States, r.Steps, r.Depth,
			r.Widest, r.Complete, r.Truncated, r.Stuck, r.Took.Round(time.Millisecond))
	}
	if r.Bad != "" {
		m.Print(os.Stdout, r, *verbose)
		os.Exit(1)
	}
}

// runAll is what a change of the protocol must pass: it returns how many searches found a violation.
func runAll(limit int) (bad int) {
	for _, c := range configs {
		m := &Model{Cfg: c}
		var r Result
		if c.Deep {
			r = m.Walk(1, 100_000, 150, 0)
		} else {
			r = m.BFS(limit, 0, c.FromOnly)
		}
		fmt.Printf("%-7s %9d states %10d steps %3d deep %7d seeds  complete %-5v  %v\n", c.Name, r.States, r.Steps, r.Depth, r.Seeds, r.Complete, r.Took.Round(time.Second))
		if r.Bad != "" || !c.Deep && !r.Complete {
			m.Print(os.Stdout, r, false)
			bad++
		}
	}
	return bad
}

// runMutants searches each mutant breadth first in its configuration, then by random walks in the deep ones.
func runMutants(which, only string, limit int, budget time.Duration, loss, verbose bool) (missed int) {
	var list []Mutant
	if which != "rules" {
		list = append(list, asWritten...)
	}
	if which != "holes" {
		list = append(list, mutants...)
	}
	for _, x := range list {
		if only != "" && x.Name != only {
			continue
		}
		m := &Model{Cfg: config(x.Cfg), Drop: x.Drop}
		m.Drop.LossOnly = loss
		r := m.BFS(limit, budget, x.Graph)
		how := fmt.Sprintf("%s, %d states, %d steps long", m.Name, r.States, len(r.Trace))
		for _, deep := range []string{"deep1", "deep", "deept"} {
			if r.Bad == "" {
				m.Cfg = config(deep)
				r = m.Walk(1, 1<<30, 150, budget)
				how = fmt.Sprintf("%s, seed %d, %d steps long", m.Name, r.Seeds, len(r.Trace))
			}
		}
		if r.Bad == "" {
			missed++
			how, r.Bad = "", "NOT CAUGHT"
		}
		fmt.Printf("| %s | %s | %s | %.1fs |\n", x.Name, how, r.Bad, r.Took.Seconds())
		if verbose && len(r.Trace) > 0 {
			m.Print(os.Stdout, r, false)
		}
	}
	return
}
