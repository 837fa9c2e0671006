package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func segmentVerifyCommand() *command {
	var b bucket
	var format string
	var deep bool
	return &command{
		name: "verify", args: "KEY|TOPIC", min: 1, max: 1,
		short: "check objects for damage",
		long: `Checks header, footer and structure; with --deep it reads the whole object and checks the CRC of every batch, and
that each run is the one that its footer describes. A topic stands for all objects that hold runs of it.
Exits with 1 if any object is damaged or cannot be read.`,
		options: append(b.options(),
			optSwitch(&deep, "deep", "read every byte"),
			outputOption(&format)),
		examples: []string{"varve segment verify orders --deep", "varve segment verify orders --store 's3://varve/prod?region=eu-central-1' --output jsonl"},
		run: func(ctx context.Context, w *world, args []string) error {
			return b.with(ctx, w, func(ctx context.Context) error {
				objects, err := b.chosen(ctx, args[0])
				if err != nil {
					return err
				}
				d, damaged := b.verifyAll(ctx, objects, deep)
				if err := d.print(w.out, format); err != nil {
					return err
				}
				if damaged > 0 {
					return fmt.Errorf("%d of %d objects are damaged or cannot be read", damaged, len(objects))
				}
				return nil
			})
		},
	}
}

// chosen are the objects that a KEY or a TOPIC stands for. A topic's name has no slash, a key has some.
func (b *bucket) chosen(ctx context.Context, arg string) ([]objstore.Info, error) {
	if strings.Contains(arg, "/") {
		return []objstore.Info{{Key: arg}}, nil
	}
	all, _, err := b.bundles(ctx, false, -1)
	if err != nil {
		return nil, err
	}
	has := make([]bool, len(all))
	eachObject(all, func(i int, key string) {
		f, _, err := b.footer(ctx, key)
		has[i] = err != nil || len(runsOf(f, arg, nil)) > 0 // one that cannot be read might have been one of them
	})
	var found []objstore.Info
	for i, o := range all {
		if has[i] {
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no object holds records of %q", arg)
	}
	return found, nil
}

// finding is the result for one object.
type finding struct {
	kind          bundle.Kind
	runs, batches int
	bytes         int
	err           error
}

func (b *bucket) verifyAll(ctx context.Context, objects []objstore.Info, deep bool) (document, int) {
	findings := make([]finding, len(objects))
	eachObject(objects, func(i int, key string) {
		if deep {
			findings[i] = b.verifyDeep(ctx, key)
		} else {
			findings[i] = b.verifyFooter(ctx, key)
		}
	})
	l := listing{name: "objects", columns: []column{
		{"RESULT", "result"}, {"KIND", "kind"}, {"RUNS", "runs"}, {"BATCHES", "batches"}, {"READ", "bytes_read"}, {"KEY", "key"}, {"ERROR", "error"},
	}}
	damaged := 0
	for i, f := range findings {
		word := "ok"
		if f.err != nil {
			word = "damaged"
			if !errors.Is(f.err, bundle.ErrCorrupt) && !errors.Is(f.err, errBatch) {
				word = "unreadable"
			}
			damaged++
		}
		var kind any // of what cannot be read nobody knows
		if f.kind != 0 {
			kind = f.kind.String()
		}
		l.rows = append(l.rows, []any{word, kind, f.runs, f.batches, f.bytes, objects[i].Key, errorText(f.err)})
	}
	return document{listings: []listing{l}}, damaged
}

// verifyFooter checks what can be checked without the body.
func (b *bucket) verifyFooter(ctx context.Context, key string) (found finding) {
	head, err := b.objects.Get(ctx, key, objstore.Exact(0, bundle.HeaderLen))
	if err != nil {
		found.err = fmt.Errorf("read the header: %w", err)
		return found
	}
	h, err := bundle.ParseHeader(head.Body)
	if err != nil {
		found.err = err
		return found
	}
	found.kind, found.bytes = h.Kind, len(head.Body)
	f, kind, err := b.footer(ctx, key)
	if err == nil && kind != h.Kind {
		err = fmt.Errorf("header says %v, trailer %v: %w", h.Kind, kind, bundle.ErrCorrupt)
	}
	if err == nil {
		err = belongs(key, h)
	}
	if err != nil {
		found.err = err
		return found
	}
	found.runs, found.batches = len(f.Runs), len(f.Batches)
	found.bytes += bundle.FooterSize(f)
	return found
}

// belongs checks that an object lies where its header says.
func belongs(key string, h bundle.Header) error {
	p, err := objstore.Parse(key)
	if err != nil {
		return nil // copied elsewhere by somebody: fine
	}
	if (p.Kind == objstore.KindWAL || p.Kind == objstore.KindSnapshot) && (p.Session != h.Session || p.Seq != h.Seq) {
		return fmt.Errorf("the header says session %v, sequence %d, which is another key: %w", h.Session, h.Seq, bundle.ErrCorrupt)
	}
	return nil
}

// verifyDeep checks every byte.
func (b *bucket) verifyDeep(ctx context.Context, key string) (found finding) {
	object, err := b.whole(ctx, key)
	if err != nil {
		found.err = err
		return found
	}
	found.bytes = len(object)
	r, err := bundle.Verify(object)
	found.kind = r.Header.Kind
	if err == nil {
		err = belongs(key, r.Header)
	}
	if err != nil {
		found.err = err
		return found
	}
	for i := range r.Footer.Runs {
		if len(r.Footer.Refs) > 0 && r.Footer.Refs[i].Object != bundle.Here {
			continue // its bytes lie in another object
		}
		n, err := verifyRun(object, r.Footer, i)
		found.batches += n
		if err != nil {
			found.err = fmt.Errorf("run %d: %w", i, err)
			return found
		}
		found.runs++
	}
	return found
}

// errBatch marks what is wrong with a batch inside of an object whose footer is intact.
var errBatch = errors.New("damaged run")

// verifyRun walks the batches of a run and compares them with the footer.
func verifyRun(object []byte, f *bundle.Footer, i int) (n int, err error) {
	r := &f.Runs[i]
	t := f.Topics[r.Topic]
	index := f.BatchesOf(r)
	digest := bundle.NewDigest(t.ID, r.Partition, r.LeaderEpoch, r.Base)
	next := r.Base
	rest := object[r.Pos : r.Pos+uint64(r.Len)]
	for {
		batch, after, err := recordbatch.Next(rest)
		if err == nil && batch != nil {
			err = batch.CheckCRC()
		}
		if err != nil {
			return n, fmt.Errorf("%w: batch %d at byte %d: %w", errBatch, n, len(object[:r.Pos])+int(r.Len)-len(rest), err)
		}
		if batch == nil {
			break
		}
		if batch.BaseOffset() != next || batch.LeaderEpoch() != r.LeaderEpoch {
			return n, fmt.Errorf("%w: batch %d has offset %d and epoch %d, not %d and %d", errBatch, n, batch.BaseOffset(), batch.LeaderEpoch(), next, r.LeaderEpoch)
		}
		if index != nil && (n >= len(index) || int(index[n].Len) != len(batch) || index[n].Records != uint32(batch.NumRecords())) {
			return n, fmt.Errorf("%w: batch %d is not the one in the index", errBatch, n)
		}
		digest = digest.Add(batch.CRC())
		next, rest = batch.NextOffset(), after
		n++
	}
	switch {
	case n != int(r.Batches) || next != r.Next:
		return n, fmt.Errorf("%w: %d batches up to offset %d, the footer says %d and %d", errBatch, n, next, r.Batches, r.Next)
	case uint32(digest) != r.Digest:
		return n, fmt.Errorf("%w: the digest is %08x, the footer says %08x: records of another partition?", errBatch, uint32(digest), r.Digest)
	}
	return n, nil
}
