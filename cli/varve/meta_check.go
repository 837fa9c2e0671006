package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/cli/meta"
)

// metaCheck is the flags of "varve meta check".
type metaCheck struct {
	bothStores
	deep            bool
	settle, overdue time.Duration
	format          string
}

func metaCheckCommand() *command {
	c := &metaCheck{settle: 75 * time.Second, overdue: time.Hour}
	return &command{
		name:  "check",
		short: "walk the whole bucket and table, and print what does not add up",
		long: `Prints each thing that is wrong with its class, its place and the command that mends it, and exits with 1 if there is any. The cluster may
run meanwhile: what is wrong is then looked at once more, after --settle, and only what is wrong both times counts.`,
		options: append(c.options(),
			optSwitch(&c.deep, "deep", "read every object that is needed, and check each batch"),
			opt(&c.settle, parseDuration, "settle", "DURATION", "in a cluster that may run, the pause before the second look; agents tidy up each minute"),
			opt(&c.overdue, parseDuration, "overdue", "DURATION", "objects that wait for deletion so long after their time are a finding"),
			outputOption(&c.format)),
		examples: []string{exampleCheck, exampleCheckAWS},
		run:      c.run,
	}
}

func (c *metaCheck) run(ctx context.Context, w *world, _ []string) error {
	var r meta.Report
	err := c.withTool(ctx, w, meta.Config{Settle: c.settle, Overdue: c.overdue, Parallel: footerReaders}, func(ctx context.Context, t *meta.Tool) (err error) {
		r, err = t.Check(ctx, c.deep)
		return err
	})
	if err != nil {
		return err
	}
	if err := c.document(r).print(w.out, c.format); err != nil {
		return err
	}
	switch n := len(r.Findings) + r.More; {
	case r.More > 0:
		return fmt.Errorf("%d findings, of which %d are printed", n, len(r.Findings))
	case n == 1:
		return errors.New("1 finding")
	case n > 1:
		return fmt.Errorf("%d findings", n)
	}
	return nil
}

func (c *metaCheck) document(r meta.Report) document {
	l := listing{name: "findings", columns: []column{{"CLASS", "class"}, {"WHERE", "where"}, {"WHAT", "what"}, {"FIX", "fix"}, {"", "hint"}}}
	for _, f := range r.Findings {
		var fix, hint any
		switch {
		case len(f.Fix) > 0:
			fix = c.command(f.Fix)
		case c.format == "table":
			fix = f.Hint
		default:
			hint = f.Hint
		}
		l.rows = append(l.rows, []any{string(f.Class), f.Where, f.What, fix, hint})
	}
	return document{
		fields: []docField{
			{"sessions", r.Sessions}, {"topics", r.Topics}, {"partitions", r.Parts}, {"live", r.Live}, {"requests", r.Requests}, {"found", len(r.Findings) + r.More},
		},
		listings: []listing{l},
	}
}

// command is a fix as one can paste it.
func (c *metaCheck) command(fix []string) string {
	s := "varve"
	for _, word := range fix {
		s += " " + shellQuote(word)
	}
	return s + c.flags()
}
