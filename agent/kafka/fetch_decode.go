// Pure.

package kafka

import "github.com/google/uuid"

// fetchRequest is a Fetch request of version 4 to 18, decoded over its frame: everything in it aliases the frame. It has no list of its
// partitions: whoever wants them goes over the frame once more, which costs less than to keep them.
type fetchRequest struct {
	maxWait      int32 // ms
	minBytes     int32
	maxBytes     int32
	isolation    int8
	sessionID    int32
	sessionEpoch int32 // -1: without a session, as before version 7
	rack         []byte
	topics       fetchWalk // what to read
	parts        int       // partitions in topics
	forgotten    fetchWalk // what leaves the session
}

// decode checks a body, to its end, and notes where its topics are.
func (q *fetchRequest) decode(c cursor, version int16) error {
	*q = fetchRequest{sessionEpoch: epochFinal}
	if version < 15 {
		c.int32() // of a replica: followers do not fetch here
	}
	q.maxWait, q.minBytes, q.maxBytes, q.isolation = c.int32(), c.int32(), c.int32(), c.int8()
	if version >= 7 {
		q.sessionID, q.sessionEpoch = c.int32(), c.int32()
	}
	elements := 0
	q.topics = beginWalk(&c, version, false)
	elements, q.parts = q.topics.pass(&c)
	if version >= 7 {
		q.forgotten = beginWalk(&c, version, true)
		n, _ := q.forgotten.pass(&c)
		elements += n
	}
	if version >= 11 {
		rack, ok := c.str()
		if q.rack = rack; !ok {
			c.fail()
		}
	}
	c.tagged(fetchTag)
	if c.bad || elements > maxElements {
		return errMalformed
	}
	return nil
}

// fetchTag checks a tagged field of a request: the cluster's id, or what a replica says of itself.
func fetchTag(tag uint32, c *cursor) {
	switch tag {
	case 0:
		c.str()
	case 1:
		c.span(4 + 8)
		c.skipTags()
	}
}

// fetchWalk goes over the topics of a request, and over the partitions of each. A copy goes its own way.
type fetchWalk struct {
	c       cursor
	version int16
	brief   bool // no more is said of a partition than its index: those that are forgotten
	topics  int  // to come
	parts   int  // to come, of the topic at hand
	within  bool // a topic is at hand

	name  []byte    // of the topic at hand, until version 12
	id    uuid.UUID // from version 13 on
	index int32     // of the partition at hand
	want  fetchWant
}

// beginWalk reads how many topics there are.
func beginWalk(c *cursor, version int16, brief bool) fetchWalk {
	smallest := smallProduceTopic
	switch {
	case version >= 13:
		smallest = smallIDTopic
	case version >= 12:
		smallest = smallFlexTopic
	}
	n := c.count(smallest)
	return fetchWalk{c: *c, version: version, brief: brief, topics: n}
}

// pass moves c, from where w begins, behind the last topic. It counts elements of arrays, and those of them that are partitions.
func (w fetchWalk) pass(c *cursor) (elements, parts int) {
	for w.topic() {
		elements++
		for w.partition() {
			parts++
		}
	}
	*c = w.c
	return elements + parts, parts
}

// topic goes on to the next topic. All partitions of the one before must have been gone over.
func (w *fetchWalk) topic() bool {
	if w.within {
		w.c.skipTags()
	}
	if w.within = w.topics > 0 && !w.c.bad; !w.within {
		return false
	}
	w.topics--
	if w.version >= 13 {
		copy(w.id[:], w.c.span(len(w.id)))
	} else if name, ok := w.c.str(); ok {
		w.name = name
	} else { // null, or cut
		w.c.fail()
	}
	w.parts = w.c.count(w.smallest())
	return !w.c.bad
}

// smallest returns the fewest bytes that a partition can have.
func (w *fetchWalk) smallest() int {
	switch {
	case w.brief:
		return 4
	case w.version >= 12:
		return 4 + 4 + 8 + 4 + 8 + 4 + 1
	case w.version >= 9:
		return 4 + 4 + 8 + 8 + 4
	case w.version >= 5:
		return 4 + 8 + 8 + 4
	}
	return 4 + 8 + 4
}

// partition goes on to the next partition of the topic at hand.
func (w *fetchWalk) partition() bool {
	if w.parts == 0 || w.c.bad {
		return false
	}
	w.parts--
	c := &w.c
	w.index = c.int32()
	if w.brief {
		return !c.bad
	}
	w.want = fetchWant{epoch: -1, lastEpoch: -1}
	if w.version >= 9 {
		w.want.epoch = c.int32()
	}
	w.want.offset = c.int64()
	if w.version >= 12 {
		w.want.lastEpoch = c.int32()
	}
	if w.version >= 5 {
		c.int64() // where a follower's log begins
	}
	w.want.maxBytes = c.int32()
	c.tagged(fetchPartitionTag)
	return !c.bad
}

// fetchPartitionTag checks a tagged field of a partition: the directory and the high watermark of a replica.
func fetchPartitionTag(tag uint32, c *cursor) {
	switch tag {
	case 0:
		c.span(16)
	case 1:
		c.span(8)
	}
}
