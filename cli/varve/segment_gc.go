package main

import (
	"context"
	"fmt"
	"time"

	"github.com/varvelog/varve/cli/meta"
)

// segmentGC is the flags of "varve segment gc".
type segmentGC struct {
	bothStores
	settle   time.Duration
	dry, yes bool
	format   string
}

func segmentGCCommand() *command {
	g := &segmentGC{settle: 75 * time.Second}
	return &command{
		name:  "gc",
		short: "delete the objects that wait for it, and those that nothing names",
		long: `Does what agents do with the queue of objects to delete, as far as their time has come; then at once what they do slowly, see
--sweep-interval of "varve agent": it deletes objects that nothing in the table names, directly or through snapshots, and whose writer's
session has ended. In a cluster that may run it looks twice.`,
		options: append(g.options(),
			opt(&g.settle, parseDuration, "settle", "DURATION", "in a cluster that may run, the pause before the second look"),
			optSwitch(&g.dry, "dry-run", "count what would be deleted, and end"),
			yesOption(&g.yes), outputOption(&g.format)),
		examples: []string{
			"varve segment gc --dry-run" + exampleStores,
			"varve segment gc --yes" + exampleStores,
		},
		run: g.run,
	}
}

func (g *segmentGC) run(ctx context.Context, w *world, _ []string) error {
	var s meta.Swept
	cfg := meta.Config{Parallel: footerReaders, Settle: g.settle}
	err := g.withTool(ctx, w, cfg, func(ctx context.Context, t *meta.Tool) (err error) {
		if !g.dry {
			if err := confirm(w, g.yes, fmt.Sprintf("delete what nothing names in the cluster %s", g.cluster)); err != nil {
				return err
			}
		}
		s, err = t.Sweep(ctx, g.dry)
		return err
	})
	if err != nil {
		return err
	}
	if g.dry {
		fmt.Fprintf(w.err, "dry run: would have deleted %d objects\n", s.Objects)
	}
	d := document{fields: []docField{
		{"objects", s.Objects}, {"orphans", s.Orphans}, {"queue_items", s.Items}, {"not_yet", s.Early}, {"refused", s.Refused}, {"packs_queued", s.Queued},
	}}
	if err := d.print(w.out, g.format); err != nil {
		return err
	}
	if s.Refused > 0 {
		return fmt.Errorf("%d items of the queue name what their sessions still need: they and their objects stay", s.Refused)
	}
	return nil
}
