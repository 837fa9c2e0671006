// Pure.

package partition

import (
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
