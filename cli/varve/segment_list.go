package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// segmentList is the flags of "varve segment list".
type segmentList struct {
	bucket
	meta       string
	partitions []int32
	limit      int
	format     string
}

func segmentListCommand() *command {
	s := &segmentList{limit: 10000}
	return &command{
		name: "list", args: "[TOPIC]", max: 1,
		short: "list objects, or the runs of a topic in them",
		long: `Without a topic: a row for each WAL bundle, pack, segment and snapshot. With one: a row for each run of it in one of the first
three, from the footers, with the topic's name as it was when the object was written: records lie in several for a while.
With --meta a column tells whether a bundle is committed: one that is not is no part of the log.`,
		options: append(s.options(),
			opt(&s.meta, parseText, "meta", "URL", "the metastore, to tell what is committed").withEnv().withDefault(""),
			optMany(&s.partitions, parsePartition, "partition", "N", "only this partition").withShort("p"),
			opt(&s.limit, parseInt, "limit", "N", "look at no more objects"),
			outputOption(&s.format)),
		examples: []string{
			"varve segment list orders -p 0",
			"varve segment list --store 's3://varve/prod?region=eu-central-1' --meta 'dynamodb://varve?region=eu-central-1' --output jsonl",
		},
		run: s.run,
	}
}

func (s *segmentList) run(ctx context.Context, w *world, args []string) error {
	if s.limit < 1 {
		return usagef("--limit: at least 1")
	}
	return s.with(ctx, w, func(ctx context.Context) error {
		objects, cut, err := s.bundles(ctx, len(args) == 0, s.limit)
		if err != nil {
			return err
		}
		if cut {
			fmt.Fprintf(w.err, "there are more than %d objects; see --limit\n", s.limit)
		}
		committed, done, err := s.sessions(ctx)
		if err != nil {
			return err
		}
		defer done()
		if len(args) == 0 {
			return s.objectsListing(objects, committed).print(w.out, s.format)
		}
		return s.listRuns(ctx, w, objects, args[0], committed)
	})
}

// stateOf tells whether a bundle is committed; nil if that is not known.
type stateOf func(key objstore.Parsed) any

// sessions returns how to find out what is committed.
func (s *segmentList) sessions(ctx context.Context) (state stateOf, done func(), err error) {
	if s.meta == "" {
		return func(objstore.Parsed) any { return nil }, func() {}, nil
	}
	cluster, err := records.ParseCluster(s.cluster)
	if err != nil {
		return nil, nil, usagef("--cluster: %w", err)
	}
	log := slog.New(slog.DiscardHandler)
	o := new(openedStores)
	if err := o.openFacts(ctx, s.meta, log); err != nil {
		o.close(log)
		return nil, nil, err
	}
	known := map[uuid.UUID]int64{} // what is committed, -1: no such session
	state = func(key objstore.Parsed) any {
		if key.Kind != objstore.KindWAL {
			return nil
		}
		end, ok := known[key.Session]
		if !ok {
			end = committedOf(ctx, o.agent.Facts, cluster.SessionKey(key.Session))
			known[key.Session] = end
		}
		switch {
		case end < 0:
			return "unknown"
		case int64(key.Seq) <= end:
			return "committed"
		}
		return "uncommitted"
	}
	return state, func() { o.close(log) }, nil
}

func committedOf(ctx context.Context, facts metastore.Store, key metastore.Key) int64 {
	it, err := facts.Get(ctx, key, metastore.Consistent)
	if err != nil {
		return -1
	}
	session, err := records.DecodeSession(it)
	if err != nil {
		return -1
	}
	return session.Committed
}

// kindOf tells the kind of an object by its key's.
var kindOf = map[string]bundle.Kind{
	objstore.KindWAL: bundle.WAL, objstore.KindSnapshot: bundle.SNAP, objstore.KindPack: bundle.PACK, objstore.KindSegment: bundle.SEG,
}

func (s *segmentList) objectsListing(objects []objstore.Info, state stateOf) document {
	l := listing{name: "objects", columns: []column{
		{"KIND", "kind"}, {"SESSION", "session"}, {"SEQ", "seq"}, {"BYTES", "bytes"}, {"WRITTEN", "written"}, {"STATE", "state"}, {"KEY", "key"},
	}}
	for _, o := range objects {
		p, err := s.keys.Parse(o.Key)
		if err != nil {
			continue
		}
		var session, seq any // packs and segments are told apart by UUIDs of their own
		if p.Session != uuid.Nil {
			session, seq = p.Session.String(), p.Seq
		}
		l.rows = append(l.rows, []any{kindOf[p.Kind].String(), session, seq, o.Size, timeText(o.Modified.UnixMilli()), state(p), o.Key})
	}
	return document{listings: []listing{l}}
}

// listRuns reads the footers and lists the runs of one topic, by partition and offset. An object that cannot be read is
// told on stderr and makes the command fail, after the others.
func (s *segmentList) listRuns(ctx context.Context, w *world, objects []objstore.Info, topic string, state stateOf) error {
	footers, errs := make([]*bundle.Footer, len(objects)), make([]error, len(objects))
	eachObject(objects, func(i int, key string) { footers[i], _, errs[i] = s.footer(ctx, key) })
	l := listing{name: "runs", columns: []column{
		{"PARTITION", "partition"}, {"BASE", "base"}, {"NEXT", "next"}, {"EPOCH", "leader_epoch"}, {"BATCHES", "batches"},
		{"BYTES", "bytes"}, {"MAX-TIME", "max_time"}, {"STATE", "state"}, {"KEY", "key"}, {"", "topic_id"}, {"", "pos"},
	}}
	failed := false
	for i, o := range objects {
		if errs[i] != nil {
			fmt.Fprintf(w.err, "%s: %v\n", o.Key, errs[i])
			failed = true
			continue
		}
		key, err := s.keys.Parse(o.Key)
		if err != nil {
			continue
		}
		for _, r := range runsOf(footers[i], topic, s.partitions) {
			l.rows = append(l.rows, []any{
				r.Partition, r.Base, r.Next, r.LeaderEpoch, r.Batches, r.Len, timeText(r.MaxTimestamp), state(key), o.Key,
				footers[i].Topics[r.Topic].ID.String(), r.Pos,
			})
		}
	}
	slices.SortStableFunc(l.rows, func(a, b []any) int {
		if p := int(a[0].(int32)) - int(b[0].(int32)); p != 0 {
			return p
		}
		if a[1].(int64) < b[1].(int64) {
			return -1
		}
		return 1
	})
	if err := (document{listings: []listing{l}}).print(w.out, s.format); err != nil {
		return err
	}
	if failed {
		return errSaid
	}
	return nil
}

// runsOf returns the runs of a topic, by its name or id, in some partitions; none given: in all.
func runsOf(f *bundle.Footer, topic string, partitions []int32) (runs []bundle.Run) {
	for _, r := range f.Runs {
		t := f.Topics[r.Topic]
		if t.Name != topic && t.ID.String() != topic {
			continue
		}
		if len(partitions) == 0 || slices.Contains(partitions, r.Partition) {
			runs = append(runs, r)
		}
	}
	return runs
}

// timeText writes milliseconds since 1970 for people and programs alike.
func timeText(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
