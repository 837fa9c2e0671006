// Pure.

package kafka

import "github.com/varvelog/varve/objstore/recordbatch"

// sums computes the CRCs of the batches of a Produce request while it is being read: piece by piece, when a piece has just come from
// the socket and is still in the processor's cache. A second walk over the whole frame would fetch it from memory again, which
// costs several times what the CRC itself does.
//
// It only remembers what it has seen, for who decodes the request in the end and looks a batch up by its place. What it does not
// understand it leaves out; then the CRC is computed as ever.
type sums struct {
	version int16
	flex    bool
	step    func(*sums, []byte) bool // reports whether to go on: false waits for more bytes, or is the end
	at      int                      // bytes that are parsed
	topics  int                      // that are left, with the one at hand
	parts   int                      // of the topic at hand, likewise
	end     int                      // of the records at hand
	batch   batchSum                 // at hand
	to      int                      // its end
	found   []batchSum
	asked   int // of these
}

// batchSum is the CRC of the batch of length bytes at a place of a frame.
type batchSum struct {
	at, length int
	crc        uint32
}

// sumFrame is the smallest frame whose CRCs are computed as it comes, and sumBatch the smallest batch in it: less is in the
// cache when it is decoded. In bytes.
const (
	sumFrame = 64 << 10
	sumBatch = 16 << 10
)

// begin starts with the frame of a request of that version.
func (s *sums) begin(version int16, flexible bool) {
	s.forget()
	s.version, s.flex, s.step = version, flexible, (*sums).head
}

// forget ends it: nothing is known of the frame that comes next.
func (s *sums) forget() {
	if cap(s.found) > keepPartitions {
		s.found = nil
	}
	*s = sums{found: s.found[:0]}
}

// advance goes on with what has come so far: the frame from its beginning on.
func (s *sums) advance(got []byte) {
	for s.step != nil && s.step(s, got) {
	}
}

// of returns the CRC of the batch at a place, if it was computed. Batches are asked for in order.
func (s *sums) of(at, length int) (crc uint32, ok bool) {
	for ; s.asked < len(s.found) && s.found[s.asked].at <= at; s.asked++ {
		if f := s.found[s.asked]; f.at == at && f.length == length {
			return f.crc, true
		}
	}
	return 0, false
}

// cursor parses what has come and was not parsed yet.
func (s *sums) cursor(got []byte) cursor { return cursor{b: got[s.at:], flex: s.flex} }

// took moves behind what a cursor has parsed, and goes on with next; if bytes were missing it stays, and waits.
func (s *sums) took(c cursor, got []byte, next func(*sums, []byte) bool) bool {
	if c.bad {
		return false
	}
	s.at, s.step = len(got)-len(c.b), next
	return true
}

// head is everything before the first topic.
func (s *sums) head(got []byte) bool {
	c, _, err := body(got, s.flex)
	if err != nil {
		return false
	}
	c.str()
	c.int16()
	c.int32()
	s.topics = c.count(1)
	return s.took(c, got, (*sums).topic)
}

// topic is the name of a topic, or its id.
func (s *sums) topic(got []byte) bool {
	if s.topics == 0 {
		s.step = nil
		return false
	}
	c := s.cursor(got)
	if s.version >= 13 {
		c.span(16)
	} else {
		c.str()
	}
	s.parts = c.count(1)
	return s.took(c, got, (*sums).partition)
}

// partition is the index of a partition and the length of its records; or what ends a topic.
func (s *sums) partition(got []byte) bool {
	c := s.cursor(got)
	if s.parts == 0 {
		c.skipTags()
		if !s.took(c, got, (*sums).topic) {
			return false
		}
		s.topics--
		return true
	}
	c.int32()
	n := 0
	if s.flex {
		n = c.compact()
	} else {
		n = int(c.int32())
	}
	if !s.took(c, got, (*sums).header) {
		return false
	}
	s.end = s.at + max(n, 0)
	return true
}

// header is that of the batch which records begin with.
func (s *sums) header(got []byte) bool {
	if s.end-s.at < sumBatch {
		return s.skip(got)
	}
	if len(got)-s.at < recordbatch.HeaderLen {
		return false
	}
	b := recordbatch.Batch(got[s.at:])
	n := 12 + int(b.Length())
	if b.Magic() != 2 || n < sumBatch || n > s.end-s.at {
		return s.skip(got)
	}
	s.batch, s.to = batchSum{at: s.at, length: n}, s.at+n
	s.at, s.step = s.at+recordbatch.SumStart, (*sums).records
	return true
}

// records is the rest of the batch.
func (s *sums) records(got []byte) bool {
	to := min(len(got), s.to)
	s.batch.crc = recordbatch.AddSum(s.batch.crc, got[s.at:to])
	if s.at = to; s.at < s.to {
		return false
	}
	s.found = append(s.found, s.batch)
	return s.skip(got)
}

// skip passes over what is left of a partition.
func (s *sums) skip(got []byte) bool {
	s.step = (*sums).skip
	if len(got) < s.end {
		return false
	}
	s.at = max(s.at, s.end)
	c := s.cursor(got)
	c.skipTags()
	if !s.took(c, got, (*sums).partition) {
		return false
	}
	s.parts--
	return true
}
