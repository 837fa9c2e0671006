// Pure.

package bench

// maxMissing bounds how many numbers of one stream are remembered as not seen yet; of more, only the count is.
const maxMissing = 1 << 16

// stream is the records of one producer in one partition. Their numbers are 0, 1, 2 and so on.
type stream struct {
	producer  uint32
	partition int32
}

// Verified is what reading back has shown. In a log that keeps its promise all but Records and Foreign are 0.
type Verified struct {
	Records   int64 `json:"records"`   // seen, each once
	Lost      int64 `json:"lost"`      // acknowledged and not there
	Doubled   int64 `json:"doubled"`   // there once more
	Reordered int64 `json:"reordered"` // behind one that was sent later
	Damaged   int64 `json:"damaged"`   // whose checksum does not hold
	Failed    int64 `json:"failed"`    // that the server refused, or that got no answer; they may be there or not
	Foreign   int64 `json:"foreign"`   // of somebody else
}

// Good reports whether nothing is wrong.
func (v Verified) Good() bool {
	return v.Lost == 0 && v.Doubled == 0 && v.Reordered == 0 && v.Damaged == 0 && v.Failed == 0
}

// add sums two counts, of different readers or partitions.
func (v *Verified) add(o Verified) {
	v.Records += o.Records
	v.Lost += o.Lost
	v.Doubled += o.Doubled
	v.Reordered += o.Reordered
	v.Damaged += o.Damaged
	v.Failed += o.Failed
	v.Foreign += o.Foreign
}

// checker follows what one reader sees, in the order of offsets.
type checker struct {
	run     uint32
	streams map[stream]*seen
	found   Verified

	id   stream // that was seen last: a batch is of one
	last *seen
}

// seen is how far a stream was read.
type seen struct {
	next    uint64              // one more than the highest number seen
	missing map[uint64]struct{} // below next and not seen, at most maxMissing
	more    int64               // missing besides, whose numbers are forgotten
}

func newChecker(run uint32) *checker { return &checker{run: run, streams: map[stream]*seen{}} }

// see takes the next record of a partition. ok is false for what is damaged or foreign.
func (c *checker) see(partition int32, value []byte) (s stamp, ok bool) {
	if !intact(value) {
		c.found.Damaged++
		return s, false
	}
	if s = readStamp(value); s.run != c.run {
		c.found.Foreign++
		return s, false
	}
	c.found.follow(c.stream(stream{s.producer, partition}), s.number)
	return s, true
}

func (c *checker) stream(id stream) *seen {
	if c.last != nil && c.id == id {
		return c.last
	}
	p := c.streams[id]
	if p == nil {
		p = &seen{missing: map[uint64]struct{}{}}
		c.streams[id] = p
	}
	c.id, c.last = id, p
	return p
}

// follow counts one number of a stream.
func (v *Verified) follow(p *seen, number uint64) {
	if number < p.next {
		if _, late := p.missing[number]; !late {
			v.Doubled++
			return
		}
		delete(p.missing, number)
		v.Records++
		v.Reordered++
		return
	}
	for n := p.next; n < number; n++ {
		if len(p.missing) == maxMissing {
			p.more += int64(number - n)
			break
		}
		p.missing[n] = struct{}{}
	}
	p.next = number + 1
	v.Records++
}

// written is what a producer knows of one stream.
type written struct {
	sent   uint64              // numbers below it were handed to the client
	failed map[uint64]struct{} // of them, those that were not acknowledged
}

// finish compares what was seen with what was written, and returns the verdict. Records that failed count as neither lost
// nor there.
func (c *checker) finish(all map[stream]written) Verified {
	v := c.found
	for id, w := range all {
		v.Failed += int64(len(w.failed))
		p := c.streams[id]
		if p == nil {
			p = &seen{}
		}
		lost := p.more
		for n := range p.missing {
			if _, failed := w.failed[n]; !failed {
				lost++
			}
		}
		if w.sent > p.next {
			lost += int64(w.sent - p.next)
		}
		for n := range w.failed {
			if n >= p.next {
				lost--
			}
		}
		v.Lost += lost
	}
	return v
}
