package main

import (
	"context"
	"fmt"

	"github.com/varvelog/varve/objstore/bundle"
)

func segmentInspectCommand() *command {
	var b bucket
	var format string
	var batches bool
	return &command{
		name: "inspect", args: "KEY", min: 1, max: 1,
		short: "show header, sections, runs and batches of an object",
		options: append(b.options(),
			optSwitch(&batches, "batches", "show each batch"),
			outputOption(&format)),
		examples: []string{
			"varve segment inspect $(varve segment list orders --output jsonl | head -1 | jq -r .key)",
			"varve segment inspect $(varve segment list --output jsonl | head -1 | jq -r .key) --batches --output json",
		},
		run: func(ctx context.Context, w *world, args []string) error {
			return b.with(ctx, w, func(ctx context.Context) error {
				object, err := b.whole(ctx, args[0])
				if err != nil {
					return err
				}
				report, broken := bundle.Verify(object)
				if err := inspection(args[0], len(object), report, batches).print(w.out, format); err != nil {
					return err
				}
				if broken != nil {
					return fmt.Errorf("%s: %w", args[0], broken)
				}
				return nil
			})
		},
	}
}

// inspection shows what was found in an object, which is less if the object is broken.
func inspection(key string, size int, r bundle.Report, batches bool) document {
	h := r.Header
	d := document{fields: []docField{
		{"key", key}, {"bytes", size}, {"kind", h.Kind.String()}, {"cluster", h.Cluster.String()}, {"session", h.Session.String()},
		{"seq", h.Seq}, {"footer_pos", r.FooterPos}, {"body_bytes", r.BodyBytes}, {"run_bytes", r.RunBytes},
	}}
	f := r.Footer
	if f == nil {
		return d
	}
	sections := listing{name: "sections", columns: []column{{"SECTION", "section"}, {"NAME", "name"}, {"POS", "pos"}, {"BYTES", "bytes"}}}
	for _, s := range r.Sections {
		sections.rows = append(sections.rows, []any{s.Type, sectionName(s.Type), s.Pos, s.Len})
	}
	d.listings = append(d.listings, sections, topicRows(f), slotRows(f), runRows(f))
	if batches {
		d.listings = append(d.listings, batchRows(f), sparseRows(f))
	}
	d.listings = append(d.listings, opRows(f))
	if h.Kind == bundle.SNAP {
		d.listings = append(d.listings, partitionRows(f), objectRows(f))
	}
	return d
}

func topicRows(f *bundle.Footer) listing {
	l := listing{name: "topics", columns: []column{{"TOPIC", "topic"}, {"ID", "id"}, {"NAME", "name"}, {"PARTITIONS", "partitions"}}}
	for i, t := range f.Topics {
		l.rows = append(l.rows, []any{i, t.ID.String(), t.Name, t.Partitions})
	}
	return l
}

func slotRows(f *bundle.Footer) listing {
	l := listing{name: "slots", columns: []column{{"SLOT", "slot"}, {"EPOCH", "epoch"}, {"FIRST-RUN", "first_run"}, {"RUNS", "runs"}}}
	for _, s := range f.Slots {
		l.rows = append(l.rows, []any{s.Slot, s.Epoch, s.FirstRun, s.Runs})
	}
	return l
}

func runRows(f *bundle.Footer) listing {
	l := listing{name: "runs", columns: []column{
		{"RUN", "run"}, {"TOPIC", "topic"}, {"PARTITION", "partition"}, {"SLOT", "slot"}, {"EPOCH", "leader_epoch"}, {"BASE", "base"}, {"NEXT", "next"},
		{"POS", "pos"}, {"BYTES", "bytes"}, {"BATCHES", "batches"}, {"MAX-TIME", "max_time"}, {"", "digest"}, {"OBJECT", "object"},
	}}
	for i, r := range f.Runs {
		var object any
		if len(f.Refs) > 0 && f.Refs[i].Object != bundle.Here {
			object = f.Refs[i].Object
		}
		l.rows = append(l.rows, []any{
			i, r.Topic, r.Partition, r.Slot, r.LeaderEpoch, r.Base, r.Next, r.Pos, r.Len, r.Batches,
			timeText(r.MaxTimestamp), fmt.Sprintf("%08x", r.Digest), object,
		})
	}
	return l
}

func batchRows(f *bundle.Footer) listing {
	l := listing{name: "batches", columns: []column{
		{"RUN", "run"}, {"POS", "pos"}, {"BYTES", "bytes"}, {"BASE", "base"}, {"LAST", "last"}, {"RECORDS", "records"}, {"MAX-TIME", "max_time"},
		{"PRODUCER", "producer_id"}, {"P-EPOCH", "producer_epoch"}, {"SEQUENCE", "base_sequence"}, {"ATTRIBUTES", "attributes"},
	}}
	for i := range f.Runs {
		r := &f.Runs[i]
		for _, b := range f.BatchesOf(r) {
			base := r.Base + int64(b.OffsetDelta)
			l.rows = append(l.rows, []any{
				i, r.Pos + uint64(b.PosDelta), b.Len, base, base + int64(b.LastOffsetDelta), b.Records, timeText(b.MaxTimestamp),
				b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Attributes,
			})
		}
	}
	return l
}

// sparseRows are the stretches of a segment's runs.
func sparseRows(f *bundle.Footer) listing {
	l := listing{name: "sparse", columns: []column{
		{"RUN", "run"}, {"POS", "pos"}, {"BASE", "base"}, {"BATCHES", "batches"}, {"MAX-TIME", "max_time"},
	}}
	if len(f.Sparse) == 0 {
		return l
	}
	for i := range f.Runs {
		r := &f.Runs[i]
		for _, e := range f.SparseOf(i) {
			l.rows = append(l.rows, []any{i, r.Pos + uint64(e.PosDelta), r.Base + int64(e.OffsetDelta), e.Batches, timeText(e.MaxTimestamp)})
		}
	}
	return l
}

// sectionName is a section's name in FORMAT.md; nil for those of a newer version.
func sectionName(typ uint16) any {
	names := []string{
		1: "TOPICS", 2: "SLOTS", 3: "RUNS", 4: "BATCHES", 5: "SPARSE", 6: "REFS", 7: "TXN", 8: "OPS", 9: "OBJECTS",
		10: "PARTITIONS", 11: "EPOCHS", 12: "PRODUCERS",
	}
	if typ == 0 || int(typ) >= len(names) {
		return nil
	}
	return names[typ]
}

func opRows(f *bundle.Footer) listing {
	l := listing{name: "ops", columns: []column{
		{"OP", "op"}, {"SLOT", "slot"}, {"EPOCH", "epoch"}, {"TOPIC", "topic"}, {"PARTITION", "partition"}, {"OFFSET", "offset"}, {"SNAPSHOT", "snapshot"},
	}}
	for _, o := range f.Ops {
		l.rows = append(l.rows, []any{o.Kind.String(), o.Slot, o.Epoch, o.Topic, o.Partition, o.Offset, o.Key})
	}
	return l
}

func partitionRows(f *bundle.Footer) listing {
	l := listing{name: "partitions", columns: []column{
		{"TOPIC", "topic"}, {"PARTITION", "partition"}, {"SLOT", "slot"}, {"START", "start"}, {"END", "end"}, {"EPOCHS", "epochs"}, {"PRODUCERS", "producers"},
	}}
	for _, p := range f.Partitions {
		l.rows = append(l.rows, []any{p.Topic, p.Partition, p.Slot, p.LogStart, p.LogEnd, p.Epochs, p.Producers})
	}
	return l
}

func objectRows(f *bundle.Footer) listing {
	l := listing{name: "objects", columns: []column{
		{"OBJECT", "object"}, {"KIND", "kind"}, {"SESSION", "session"}, {"SEQ", "seq"}, {"BODY-END", "body_end"},
	}}
	for i, o := range f.Objects {
		l.rows = append(l.rows, []any{i, o.Kind.String(), o.Session.String(), o.Seq, o.Size})
	}
	return l
}
