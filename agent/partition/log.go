// Pure.

package partition

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/varvelog/varve/objstore/bundle"
)

// log is the committed state of a partition: what the footers of committed bundles say, and nothing else.
//
// One that a snapshot or a frozen slot shares is not changed any more: a change begins with own, which copies what is not append-only.
type log struct {
	start, end int64 // log start offset; end is the high watermark
	epochs     []bundle.Epoch
	tail       tail
	producers  producers
	shared     bool
}

// own returns l if nobody else looks at it, or else a copy that may be changed.
func (l *log) own() *log {
	if !l.shared {
		return l
	}
	c := *l
	c.producers, c.shared = l.producers.clone(), false
	return &c
}

// open notes that a leader of the given epoch serves from the log's end on. An epoch without records gives way.
func (l *log) open(epoch int32) {
	n := len(l.epochs)
	switch {
	case n > 0 && l.epochs[n-1].Epoch == epoch:
		return
	case n > 0 && l.epochs[n-1].Start == l.end:
		l.epochs = l.epochs[:n-1]
	}
	l.epochs = append(slices.Clip(l.epochs), bundle.Epoch{Epoch: epoch, Start: l.end})
}

// apply adds a committed run that lies at the given place. It reports whether the run continues the log; one that does not is
// not applied.
func (l *log) apply(r *bundle.Run, batches []bundle.Batch, at place, now int64) bool {
	if r.Base != l.end {
		return false
	}
	l.tail.add(newTailRun(r, at.object), at.session)
	if n := len(l.epochs); n == 0 || l.epochs[n-1].Epoch < r.LeaderEpoch {
		l.open(r.LeaderEpoch)
	}
	for i := range batches {
		if b := &batches[i]; b.ProducerID >= 0 {
			l.producers.add(b.ProducerID, b.ProducerEpoch, appended(r, b), now)
		}
	}
	l.end = r.Next
	return true
}

func newTailRun(r *bundle.Run, object uint32) tailRun {
	return tailRun{base: r.Base, maxTS: r.MaxTimestamp, object: object, pos: uint32(r.Pos), length: r.Len, span: uint32(r.Next - r.Base)}
}

// moves reports whether moveStart would change something: the log start never goes back, nor beyond what is committed.
func (l *log) moves(offset int64) bool { return offset > l.start && offset <= l.end }

// moveStart makes the log begin at offset, if that is further on. Runs that end before it are forgotten.
func (l *log) moveStart(offset int64) {
	if l.moves(offset) {
		l.start = offset
		l.tail.forget(offset)
	}
}

// tailStart is the offset from which on the tail knows where the records are; those from the log start up to it are in extents.
func (l *log) tailStart() int64 {
	if len(l.tail.runs) == 0 {
		return l.end
	}
	return l.tail.runs[0].base
}

// lineUp finds the runs [i, j) of the tail whose offsets the given ones, which lie in packs, hold, without those that the tail has
// forgotten meanwhile: rest. Errors: ErrMoved; any other is a fault of the caller.
func (l *log) lineUp(runs []bundle.Location) (i, j int, rest []bundle.Location, err error) {
	if err := l.checkPacked(runs); err != nil {
		return 0, 0, nil, err
	}
	first := l.tailStart()
	for len(runs) > 0 && runs[0].Next <= first {
		runs = runs[1:]
	}
	if len(runs) == 0 {
		return 0, 0, nil, nil
	}
	base, next := runs[0].Base, runs[len(runs)-1].Next
	i, j = l.tail.find(base), l.tail.find(next-1)+1
	// They may begin elsewhere than the tail does if what only one of the two holds is below the log start.
	cut := i == 0 && base != first && max(base, first) <= l.start
	if j > len(l.tail.runs) || l.tail.runs[j-1].next() != next || l.tail.runs[i].base != base && !cut {
		return 0, 0, nil, fmt.Errorf("%w: no runs from offset %d to %d", ErrMoved, base, next)
	}
	var was, is int64
	for _, r := range l.tail.runs[i:j] {
		was += int64(r.length)
	}
	for _, r := range runs {
		is += int64(r.Len)
	}
	if was != is && !cut {
		return 0, 0, nil, fmt.Errorf("replace runs: offsets %d to %d have %d bytes, not %d", base, next, was, is)
	}
	return i, j, runs, nil
}

// checkPacked returns an error unless runs may stand in a tail index as packed ones.
func (l *log) checkPacked(runs []bundle.Location) error {
	for i, r := range runs {
		switch {
		case r.Object.Kind != bundle.PACK:
			return fmt.Errorf("replace runs: run %d lies in a %v", i, r.Object.Kind)
		case i > 0 && r.Base != runs[i-1].Next:
			return fmt.Errorf("replace runs: run %d begins at offset %d, the one before ends at %d", i, r.Base, runs[i-1].Next)
		case r.Next <= r.Base || r.Next-r.Base > math.MaxUint32 || r.Pos > math.MaxUint32:
			return fmt.Errorf("replace runs: run %d of offsets %d to %d at byte %d is out of bounds", i, r.Base, r.Next, r.Pos)
		case epochAt(l.epochs, r.Base) != epochAt(l.epochs, r.Next-1):
			return fmt.Errorf("replace runs: run %d of offsets %d to %d crosses a leader epoch", i, r.Base, r.Next)
		}
	}
	return nil
}

// appended is what a duplicate of b will be answered with.
func appended(r *bundle.Run, b *bundle.Batch) bundle.Appended {
	first := r.Base + int64(b.OffsetDelta)
	a := bundle.Appended{
		FirstSeq: b.BaseSequence, LastSeq: addSequence(b.BaseSequence, int32(b.LastOffsetDelta)),
		FirstOffset: first, LastOffset: first + int64(b.LastOffsetDelta), Timestamp: -1,
	}
	if b.Attributes&attrLogAppendTime != 0 {
		a.Timestamp = b.MaxTimestamp
	}
	return a
}

const attrLogAppendTime = 1 << 3 // of a batch's attributes

// endOfEpoch answers OffsetForLeaderEpoch (KIP-101, KIP-279): the largest epoch not above the one asked for, and the
// offset at which it ended; (-1, -1) for one newer than all. end is the log end of the newest epoch.
func endOfEpoch(epochs []bundle.Epoch, epoch int32, end int64) (int32, int64) {
	i := sort.Search(len(epochs), func(i int) bool { return epochs[i].Epoch > epoch })
	switch {
	case i == 0 && len(epochs) > 0:
		return epoch, epochs[0].Start
	case i == 0:
		return -1, -1
	case i < len(epochs):
		return epochs[i-1].Epoch, epochs[i].Start
	case epochs[i-1].Epoch == epoch:
		return epoch, end
	}
	return -1, -1
}

// epochAt returns the epoch under which offset was or will be written, -1 if the list does not reach back so far.
func epochAt(epochs []bundle.Epoch, offset int64) int32 {
	i := sort.Search(len(epochs), func(i int) bool { return epochs[i].Start > offset })
	if i == 0 {
		return -1
	}
	return epochs[i-1].Epoch
}
