// Pure.

package kafka

// produceRequest is a Produce request of version 3 to 13, decoded over its frame: everything in it aliases the frame. A
// connection has one and uses it again, so that a request costs no allocation.
type produceRequest struct {
	transactional bool // a transactional id is set, even an empty one
	txnID         []byte
	acks          int16
	timeout       int32 // ms
	topics        []produceTopic
	parts         []producePartition
	recordBytes   int64
}

type produceTopic struct {
	name  []byte // its id from version 13 on
	parts int    // how many of parts are this topic's
}

type producePartition struct {
	index   int32
	records []byte // nil for null
	after   int    // bytes of the frame behind them
}

// The fewest bytes that elements can have.
const (
	smallProduceTopic     = 2 + 4
	smallProducePartition = 4 + 4
	smallFlexTopic        = 1 + 1 + 1
	smallIDTopic          = 16 + 1 + 1
	smallFlexPartition    = 4 + 1 + 1
)

// keepPartitions is the most elements for which a connection keeps memory.
const keepPartitions = 1024

// decode fills p from a body. It looks at the body twice, first to count: what it allocates is exact, at most some ten
// times the input, and nothing at all when an earlier request was as large.
func (p *produceRequest) decode(c cursor, version int16) error {
	*p = produceRequest{topics: p.topics[:0], parts: p.parts[:0]}
	if cap(p.parts) > keepPartitions || cap(p.topics) > keepPartitions {
		p.topics, p.parts = nil, nil
	}
	p.txnID, p.transactional = c.str()
	p.acks = c.int16()
	p.timeout = c.int32()
	byID := version >= 13
	topics, parts := p.walk(c, byID, false)
	if topics < 0 || topics+parts > maxElements {
		return errMalformed
	}
	if cap(p.topics) < topics {
		p.topics = make([]produceTopic, 0, topics)
	}
	if cap(p.parts) < parts {
		p.parts = make([]producePartition, 0, parts)
	}
	p.walk(c, byID, true)
	return nil
}

// walk goes over the topics and counts, or fills in. topics is -1 if the body is malformed.
func (p *produceRequest) walk(c cursor, byID, fill bool) (topics, parts int) {
	smallTopic, smallPart := smallProduceTopic, smallProducePartition
	if c.flex {
		smallTopic, smallPart = smallFlexTopic, smallFlexPartition
	}
	if byID {
		smallTopic = smallIDTopic
	}
	topics = c.count(smallTopic)
	for t := 0; t < topics && !c.bad; t++ {
		name := p.nextTopic(&c, byID)
		n := c.count(smallPart)
		parts += n
		if fill {
			p.topics = append(p.topics, produceTopic{name, n})
		}
		for i := 0; i < n && !c.bad; i++ {
			index := c.int32()
			records, _ := c.bytes()
			after := len(c.b)
			c.skipTags()
			if fill {
				p.parts = append(p.parts, producePartition{index, records, after})
				p.recordBytes += int64(len(records))
			}
		}
		c.skipTags()
	}
	c.skipTags()
	if c.bad {
		return -1, 0
	}
	return topics, parts
}

func (p *produceRequest) nextTopic(c *cursor, byID bool) []byte {
	if byID {
		return c.span(16)
	}
	name, ok := c.str()
	if !ok { // only null: what is cut has failed already
		c.fail()
	}
	return name
}

// clear forgets the frame.
func (p *produceRequest) clear() {
	clear(p.topics)
	clear(p.parts)
	p.txnID = nil
}
