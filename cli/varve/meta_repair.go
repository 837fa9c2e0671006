package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/varvelog/varve/cli/meta"
)

// metaRepair is the flags of "varve meta repair".
type metaRepair struct {
	bothStores
	dry, yes bool
}

func metaRepairCommand() *command {
	r := &metaRepair{}
	return &command{
		name: "repair", args: "CLASS WHERE", min: 2, max: 2,
		short: "mend one thing that varve meta check found",
		long: `Takes a finding's class and place, looks at the cluster once more, and mends what is still so. Where records are lost for good, what
takes their place holds none, and readers skip their offsets. If an agent is faster, nothing is written.`,
		options: append(r.options(),
			optSwitch(&r.dry, "dry-run", "say what would be mended, and end"),
			yesOption(&r.yes)),
		examples: []string{exampleRepairSlot, exampleRepairPack},
		run:      r.run,
	}
}

func (r *metaRepair) run(ctx context.Context, w *world, args []string) error {
	var classes []string
	for _, c := range meta.Classes() {
		classes = append(classes, string(c))
	}
	if !slices.Contains(classes, args[0]) {
		return usagef("%q is no class of findings%s; varve meta check prints class and place", args[0], didYouMean(args[0], classes, ""))
	}
	return r.withTool(ctx, w, meta.Config{Parallel: footerReaders}, func(ctx context.Context, t *meta.Tool) error {
		if r.dry {
			return r.lookUp(ctx, w, t, meta.Class(args[0]), args[1])
		}
		if err := confirm(w, r.yes, fmt.Sprintf("mend %s at %s, in the cluster %s", args[0], args[1], r.cluster)); err != nil {
			return err
		}
		did, err := t.Repair(ctx, meta.Class(args[0]), args[1])
		if err != nil {
			return err
		}
		fmt.Fprintln(w.err, did)
		return nil
	})
}

// lookUp says whether there is anything to mend.
func (r *metaRepair) lookUp(ctx context.Context, w *world, t *meta.Tool, class meta.Class, where string) error {
	got, err := t.Check(ctx, class == meta.Damaged)
	if err != nil {
		return err
	}
	for _, f := range got.Findings {
		if f.Class == class && f.Where == where {
			if !f.Mendable() {
				return fmt.Errorf("%w: %s: see what varve meta check says", meta.ErrBeyondRepair, f.What)
			}
			fmt.Fprintf(w.err, "dry run: would have mended %s at %s: %s\n", class, where, f.What)
			return nil
		}
	}
	return fmt.Errorf("%w: %s %s", meta.ErrSound, class, where)
}
