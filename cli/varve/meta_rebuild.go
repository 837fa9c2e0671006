package main

import (
	"context"
	"fmt"

	"github.com/varvelog/varve/cli/meta"
)

// metaRebuild is the flags of "varve meta rebuild".
type metaRebuild struct {
	bothStores
	slots       int
	uncommitted bool
	dry, yes    bool
	format      string
}

func metaRebuildCommand() *command {
	r := &metaRebuild{}
	return &command{
		name:  "rebuild",
		short: "make a table from what lies in the bucket, into one that is empty",
		long: `For the day that the table is lost: stop all agents first. Names of topics, numbers of partitions, extents, log ends, epochs and the state of
producers come back as the newest snapshots have them; every session is ended. What an agent wrote after its newest snapshot (one a
minute, and one at a graceful stop) is listed: only the lost table knew whether it was committed. With --include-uncommitted it is kept;
without, it stays in the bucket, outside of the log, until you call varve segment gc.`,
		options: append(r.options(),
			opt(&r.slots, parseInt, "slots", "N", "the cluster's number of slots; 0: as many as snapshots show"),
			optSwitch(&r.uncommitted, "include-uncommitted", "keep what was written after the newest snapshots"),
			optSwitch(&r.dry, "dry-run", "say what there is, and write nothing"),
			yesOption(&r.yes), outputOption(&r.format)),
		examples: []string{
			"varve meta rebuild --dry-run --store file:///var/lib/varve/objects --meta bolt:///var/lib/varve/new.db",
			"varve meta rebuild --yes --store file:///var/lib/varve/objects --meta bolt:///var/lib/varve/new.db",
		},
		run: r.run,
	}
}

func (r *metaRebuild) run(ctx context.Context, w *world, _ []string) error {
	var got meta.Rebuilt
	err := r.withTool(ctx, w, meta.Config{Parallel: footerReaders}, func(ctx context.Context, t *meta.Tool) (err error) {
		if !r.dry {
			if err := confirm(w, r.yes, fmt.Sprintf("rebuild the table of the cluster %s, in %s", r.cluster, r.meta)); err != nil {
				return err
			}
		}
		got, err = t.Rebuild(ctx, meta.RebuildConfig{Slots: r.slots, Uncommitted: r.uncommitted, Dry: r.dry})
		return err
	})
	if err != nil {
		return err
	}
	if r.dry {
		fmt.Fprintf(w.err, "dry run: would have rebuilt the table of cluster %s\n", got.Cluster)
	}
	return r.document(got).print(w.out, r.format)
}

func (r *metaRebuild) document(got meta.Rebuilt) document {
	state := "left out"
	if got.Kept {
		state = "kept"
	}
	unknown := listing{name: "commit_unknown", columns: []column{{"SESSION", "session"}, {"FIRST", "first"}, {"LAST", "last"}, {"STATE", "state"}}}
	for _, u := range got.Unknown {
		unknown.rows = append(unknown.rows, []any{u.Session.String(), u.From, u.To, state})
	}
	lost := listing{name: "lost", columns: []column{{"N", "n"}, {"LOST", "lost"}}}
	for i, n := range got.Notes {
		lost.rows = append(lost.rows, []any{i + 1, n})
	}
	fields := []docField{
		{"cluster", got.Cluster.String()}, {"slots", got.Slots}, {"sessions", got.Sessions}, {"topics", got.Topics}, {"partitions", got.Parts},
		{"never_written", got.Empty},
	}
	if !r.dry { // else they were not counted
		fields = append(fields, docField{"extents", got.Extents}, docField{"packs", got.Packs})
	}
	return document{fields: fields, listings: []listing{unknown, lost}}
}
