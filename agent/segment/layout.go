// Pure.

package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// errDamaged: stored batches are not what the index says. An alarm; the partition's log stays where it is.
var errDamaged = errors.New("stored batch is damaged")

// damage is errDamaged of one partition.
type damage struct {
	part int // index
	err  error
}

func (d *damage) Error() string { return d.err.Error() }
func (d *damage) Unwrap() error { return errDamaged }

// draft is an object being laid out: the header, then the bytes of each part's runs.
type draft struct {
	kind   bundle.Kind
	id     uuid.UUID
	parts  []part
	body   []byte // from the header on; footer and trailer last
	footer bundle.Footer
	topic  map[uuid.UUID]uint32 // numbers in the footer
	end    uint64               // where the body ends
	size   uint64               // of the whole object
	placed [][]bundle.Location  // of each part: where its runs lie in this object
	sound  [][]bool             // of each part: whether a run's batches have been checked already
	count  int64                // records
	minTS  int64                // lowest base timestamp
	maxTS  int64
}

// runFooter is what a run takes in a footer, in bytes: its own entry, that of its first batch, and a part of its topic's.
const runFooter = 192

// footerRoom is room for the footer, which is only known when the batches are: enough for batches of 1 KiB.
func footerRoom(body, runs int64) int64 { return body/18 + runs*runFooter + 1<<10 }

// newDraft lays out parts, which are in order, in body, a buffer of draftSize bytes or more. wants says which bytes are missing.
func newDraft(kind bundle.Kind, id uuid.UUID, header bundle.Header, parts []part, body []byte) (d *draft, wants []want) {
	d = &draft{kind: kind, id: id, parts: parts, sound: make([][]bool, len(parts))}
	out := bundle.AppendHeader(body[:0], header)
	for i := range parts {
		d.sound[i] = make([]bool, len(parts[i].runs))
		for k, run := range parts[i].runs {
			at := len(out)
			out = out[:at+int(run.Len)]
			wants = append(wants, want{run.Object, run.Pos, out[at:len(out):len(out)], &d.sound[i][k]})
		}
	}
	d.body = out
	d.topics()
	return d, wants
}

// draftSize is how many bytes newDraft wants.
func draftSize(parts []part) int64 {
	var n, runs int64
	for i := range parts {
		n, runs = n+parts[i].bytes(), runs+int64(len(parts[i].runs))
	}
	return bundle.HeaderLen + n + footerRoom(n, runs)
}

// finish checks every batch, drops what lies below a part's first offset, and appends the footer. An error that is a *damage names
// the part that it is about.
func (d *draft) finish() error {
	read, write := bundle.HeaderLen, bundle.HeaderLen
	d.minTS, d.maxTS = math.MaxInt64, math.MinInt64
	for i := range d.parts {
		n := int(d.parts[i].bytes())
		run := d.body[read : read+n]
		read += n
		run, err := d.parts[i].trim(run)
		if err == nil {
			write += copy(d.body[write:], run) // nothing to do unless something was dropped before
			err = d.index(i, n-len(run), d.body[write-len(run):write], uint64(write-len(run)))
		}
		if err != nil {
			return &damage{i, err}
		}
	}
	d.body, d.end = d.body[:write], uint64(write)
	d.slots()
	if err := d.footer.Check(d.kind, int64(d.end)); err != nil {
		return fmt.Errorf("lay out %v: %w", d.kind, err)
	}
	for i := range d.placed {
		for k := range d.placed[i] {
			d.placed[i][k].Object.Size = d.end
		}
	}
	d.body = bundle.AppendFooter(d.body, d.kind, &d.footer)
	d.size = uint64(len(d.body))
	return nil
}

// drop lets go of the bytes and the footer.
func (d *draft) drop() { d.body, d.footer = nil, bundle.Footer{} }

// rows is how many runs a pack has.
func (d *draft) rows() (n int64) {
	for _, placed := range d.placed {
		n += int64(len(placed))
	}
	return n
}

// trim drops the batches below the first offset that is wanted.
func (p *part) trim(run []byte) ([]byte, error) {
	for p.runs[0].Base < p.from {
		b, rest, err := nextBatch(run, p.runs[0].Base)
		if err != nil {
			return nil, err
		}
		if b.BaseOffset() >= p.from {
			break
		}
		run = rest
	}
	return run, nil
}

// nextBatch splits off the first batch of run, which is at offset or somewhere behind.
func nextBatch(run []byte, offset int64) (b recordbatch.Batch, rest []byte, err error) {
	b, rest, err = recordbatch.Next(run)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: no batch at offset %d: %w", errDamaged, offset, err)
	case b == nil:
		return nil, nil, fmt.Errorf("%w: the batch at offset %d is cut", errDamaged, offset)
	}
	return b, rest, nil
}

// checks tells which bytes of a part, as its runs brought them, have been checked. It is asked from the front to the end.
type checks struct {
	runs  []bundle.Location
	sound []bool
	begin int // of the first of runs
}

// have reports whether the bytes [from, to) lie in one run that has been checked.
func (c *checks) have(from, to int) bool {
	for len(c.runs) > 0 && from >= c.begin+int(c.runs[0].Len) {
		c.begin += int(c.runs[0].Len)
		c.runs, c.sound = c.runs[1:], c.sound[1:]
	}
	return len(c.runs) > 0 && c.sound[0] && to <= c.begin+int(c.runs[0].Len)
}

// index checks the batches of part i, which lie at pos, and describes them in the footer: a run for each leader epoch. The first skipped
// bytes of the part are left out.
func (d *draft) index(i, skipped int, run []byte, pos uint64) error {
	p := &d.parts[i]
	done := checks{runs: p.runs, sound: d.sound[i]}
	next, topic := p.from, d.topic[p.tail.Topic]
	var placed []bundle.Location
	var digest bundle.Digest
	for len(run) > 0 {
		b, rest, err := nextBatch(run, next)
		if err != nil {
			return err
		}
		if b.BaseOffset() != next {
			return fmt.Errorf("%w: batch of offset %d at the place of offset %d", errDamaged, b.BaseOffset(), next)
		}
		if !done.have(skipped, skipped+len(b)) {
			if err := b.CheckCRC(); err != nil {
				return fmt.Errorf("%w: batch at offset %d: %w", errDamaged, next, err)
			}
		}
		if n := len(placed); n == 0 || placed[n-1].LeaderEpoch != b.LeaderEpoch() || b.NextOffset()-placed[n-1].Base > math.MaxUint32 {
			digest = bundle.NewDigest(p.tail.Topic, p.tail.Index, b.LeaderEpoch(), next)
			placed = append(placed, bundle.Location{
				Object: bundle.Object{Kind: d.kind, Session: d.id}, Pos: pos, Base: next, MaxTimestamp: b.MaxTimestamp(), LeaderEpoch: b.LeaderEpoch(),
			})
			d.footer.Runs = append(d.footer.Runs, bundle.Run{
				Topic: topic, Partition: p.tail.Index, Slot: p.tail.Slot, LeaderEpoch: b.LeaderEpoch(), Base: next, Pos: pos,
				MaxTimestamp: b.MaxTimestamp(), FirstBatch: uint32(len(d.footer.Batches) + len(d.footer.Sparse)),
			})
		}
		loc, r := &placed[len(placed)-1], &d.footer.Runs[len(d.footer.Runs)-1]
		loc.MaxTimestamp = max(loc.MaxTimestamp, b.MaxTimestamp())
		r.MaxTimestamp = loc.MaxTimestamp
		d.addBatch(r, b)
		digest = digest.Add(b.CRC())
		loc.Len, loc.Next = loc.Len+uint32(len(b)), b.NextOffset()
		r.Len, r.Next, r.Batches, r.Digest = loc.Len, loc.Next, r.Batches+1, uint32(digest)
		next, pos, skipped, run = b.NextOffset(), pos+uint64(len(b)), skipped+len(b), rest
	}
	if next != p.next() {
		return fmt.Errorf("%w: runs from offset %d end at %d instead of %d", errDamaged, p.from, next, p.next())
	}
	d.placed = append(d.placed, placed)
	return nil
}

// addBatch describes the next batch of r, which does not count it yet: in a pack one by one, in a segment from time to time.
func (d *draft) addBatch(r *bundle.Run, b recordbatch.Batch) {
	d.count += int64(b.NumRecords())
	d.minTS, d.maxTS = min(d.minTS, b.BaseTimestamp()), max(d.maxTS, b.MaxTimestamp())
	if d.kind == bundle.SEG {
		d.addSparse(r, b)
		return
	}
	d.footer.Batches = append(d.footer.Batches, bundle.Batch{
		PosDelta: r.Len, Len: uint32(len(b)), OffsetDelta: uint32(b.BaseOffset() - r.Base), LastOffsetDelta: uint32(b.LastOffsetDelta()),
		MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(),
		Attributes: uint16(b.Attributes()), BaseSequence: b.BaseSequence(), Records: uint32(b.NumRecords()),
	})
}

// stretch is how many bytes an entry of the sparse index stands for, at least.
const stretch = 64 << 10

// addSparse is addBatch of a segment. The run's largest timestamp includes the batch already.
func (d *draft) addSparse(r *bundle.Run, b recordbatch.Batch) {
	if n := len(d.footer.Sparse); r.Len == 0 || r.Len-d.footer.Sparse[n-1].PosDelta >= stretch {
		d.footer.Sparse = append(d.footer.Sparse, bundle.Sparse{OffsetDelta: uint32(b.BaseOffset() - r.Base), PosDelta: r.Len})
	}
	e := &d.footer.Sparse[len(d.footer.Sparse)-1]
	e.MaxTimestamp, e.Batches = r.MaxTimestamp, e.Batches+1
}

// topics lists the topics of all parts by UUID: within a slot runs are in the order of these numbers then.
func (d *draft) topics() {
	d.topic = map[uuid.UUID]uint32{}
	for i := range d.parts {
		t := &d.parts[i].tail
		if _, ok := d.topic[t.Topic]; !ok {
			d.topic[t.Topic] = 0
			d.footer.Topics = append(d.footer.Topics, bundle.Topic{ID: t.Topic, Name: t.TopicName})
		}
	}
	slices.SortFunc(d.footer.Topics, func(a, b bundle.Topic) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for i, t := range d.footer.Topics {
		d.topic[t.ID] = uint32(i)
	}
}

// slots lists the slots of a pack's runs, each under the epoch of the partition's leader.
func (d *draft) slots() {
	if d.kind != bundle.PACK {
		return
	}
	first := uint32(0)
	for i := range d.parts {
		t, n := &d.parts[i].tail, uint32(len(d.placed[i]))
		if last := len(d.footer.Slots) - 1; last >= 0 && d.footer.Slots[last].Slot == t.Slot {
			d.footer.Slots[last].Runs += n
		} else {
			d.footer.Slots = append(d.footer.Slots, bundle.Slot{Slot: t.Slot, Epoch: t.Epoch, FirstRun: first, Runs: n})
		}
		first += n
	}
}

// extent describes the segment that d became.
func (d *draft) extent() records.Extent {
	p := &d.parts[0]
	return records.Extent{
		Base: p.from, Next: p.next(), Segment: d.id, Size: d.end, FooterLen: uint32(d.size - d.end),
		Bytes: int64(d.end) - bundle.HeaderLen, Records: d.count, MinTimestamp: d.minTS, MaxTimestamp: d.maxTS,
	}
}
