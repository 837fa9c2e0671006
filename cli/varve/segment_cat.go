package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// maxRecords bounds the bytes of one batch when decompressed, far above what any sane producer sends: what is printed of a record
// takes many times its size.
const maxRecords = 64 << 20

func segmentCatCommand() *command {
	var b bucket
	var topic string
	var partitions []int32
	return &command{
		name: "cat", args: "KEY", min: 1, max: 1,
		short: "print the records of an object as lines of JSON",
		long:  `The lines are those of "varve consume --output jsonl". A snapshot holds no records.`,
		options: append(b.options(),
			opt(&topic, parseText, "topic", "TOPIC", "only records of this topic, by name or id"),
			optMany(&partitions, parsePartition, "partition", "N", "only this partition").withShort("p")),
		examples: []string{
			"varve segment cat $(varve segment list orders --output jsonl | head -1 | jq -r .key)",
			"varve segment cat $(varve segment list orders --output jsonl | head -1 | jq -r .key) --topic orders | jq .value",
		},
		run: func(ctx context.Context, w *world, args []string) error {
			return b.with(ctx, w, func(ctx context.Context) error {
				object, err := b.whole(ctx, args[0])
				if err != nil {
					return err
				}
				report, err := bundle.Verify(object)
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				out := bufio.NewWriter(w.out)
				if err := printRuns(out, object, report.Footer, topic, partitions); err != nil {
					_ = out.Flush() // what is intact is printed
					return fmt.Errorf("%s: %w", args[0], err)
				}
				return out.Flush()
			})
		},
	}
}

func printRuns(out io.Writer, object []byte, f *bundle.Footer, topic string, partitions []int32) error {
	var d recordbatch.Decoder
	for i, r := range f.Runs {
		t := f.Topics[r.Topic]
		if topic != "" && t.Name != topic && t.ID.String() != topic || len(partitions) > 0 && !slices.Contains(partitions, r.Partition) {
			continue
		}
		if len(f.Refs) > 0 && f.Refs[i].Object != bundle.Here {
			continue
		}
		if _, err := verifyRun(object, f, i); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
		if err := printRun(out, &d, object[r.Pos:r.Pos+uint64(r.Len)], t.Name, r.Partition); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
	}
	return nil
}

// printRun prints the records of a run that was verified; control records are nobody's data.
func printRun(out io.Writer, d *recordbatch.Decoder, run []byte, topic string, partition int32) error {
	for {
		batch, rest, err := recordbatch.Next(run)
		if err != nil || batch == nil {
			return err
		}
		run = rest
		if batch.IsControl() {
			continue
		}
		for rec, err := range d.Iterate(batch, maxRecords) {
			if err != nil {
				return err
			}
			line, err := recordLine(kafkaRecord(rec, topic, partition))
			if err != nil {
				return err
			}
			if _, err := out.Write(append(line, '\n')); err != nil {
				return err
			}
		}
	}
}

func kafkaRecord(r recordbatch.Record, topic string, partition int32) *kgo.Record {
	k := &kgo.Record{Topic: topic, Partition: partition, Offset: r.Offset, Timestamp: time.UnixMilli(r.Timestamp), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return k
}
