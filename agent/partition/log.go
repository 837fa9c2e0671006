// Pure.

package partition

import (
	"slices"
	"sort"

	"github.com/varvelog/varve/objstore/bundle"
)

// log is the committed state of a partition: what the footers of committed bundles say, and nothing else.
type log struct {
	start, end int64 // log start offset; end is the high watermark
	epochs     []bundle.Epoch
	tail       []tailRun // contiguous, up to end
	producers  producers
	hole       error // the first run of a replay that did not continue the log; nothing after it is applied
}

// tailRun is an entry of the tail index. 32 bytes, because there is one per partition and flush.
type tailRun struct {
	base   int64
	maxTS  int64  // ms
	object uint32 // index into the table of objects
	pos    uint32 // in the object: bundles are far smaller than 4 GiB
	length uint32 // bytes
	span   uint32 // offsets
}

func (r tailRun) next() int64 { return r.base + int64(r.span) }

func newLog() *log { return &log{producers: producers{}} }

// open notes that a leader of the given epoch serves from the log's end on. An epoch without records gives way.
func (l *log) open(epoch int32) {
	if n := len(l.epochs); n > 0 && l.epochs[n-1].Start == l.end {
		l.epochs = l.epochs[:n-1]
	}
	l.epochs = append(slices.Clip(l.epochs), bundle.Epoch{Epoch: epoch, Start: l.end})
}

// apply adds a committed run. It reports whether the run continues the log; one that does not is not applied.
func (l *log) apply(r *bundle.Run, batches []bundle.Batch, object uint32, now int64) bool {
	if r.Base != l.end {
		return false
	}
	l.tail = append(l.tail, tailRun{
		base: r.Base, maxTS: r.MaxTimestamp, object: object,
		pos: uint32(r.Pos), length: r.Len, span: uint32(r.Next - r.Base),
	})
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

// moveStart makes the log begin at offset, if that is further on. Runs that end before it are forgotten.
func (l *log) moveStart(offset int64) bool {
	if offset <= l.start || offset > l.end {
		return false
	}
	l.start = offset
	// A copy: a snapshot may share the old index, which is not to keep its memory for ever either.
	l.tail = slices.Clone(l.tail[l.find(offset):])
	return true
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

// find returns the index of the first tail run that ends after offset.
func (l *log) find(offset int64) int {
	return sort.Search(len(l.tail), func(i int) bool { return l.tail[i].next() > offset })
}

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
