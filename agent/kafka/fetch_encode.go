// Pure.

package kafka

import (
	"encoding/binary"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/fetch"
)

// fetchResult is the answer for one partition.
type fetchResult struct {
	key       partKey
	code      int16
	hw        int64
	stable    int64
	start     int64
	from, to  int // its slices
	size      int // bytes of them
	divergent divergence
	leader    toldLeader // for codes 6 and 74 (KIP-951); Node -1: no hint
}

// divergence tells a client that its log and ours parted (KIP-595); epoch -1: they did not.
type divergence struct {
	epoch int32
	end   int64
}

// fetchAnswer is a Fetch response of version 4 to 18. The records lie in slices; the rest is encoded around them.
type fetchAnswer struct {
	version   int16
	code      int16
	session   int32
	committed bool // read_committed: there are no aborted transactions, instead of: not asked for
	results   []fetchResult
	slices    []fetch.Slice
	nodes     []*cluster.Node // addresses of the leaders that the results name
}

// appendTo appends the body to dst and its fragments, those of dst's and those of the slices, to frags, in the order in
// which they are to be written. What dst held before comes first. dst must have room for most: see most.
func (a *fetchAnswer) appendTo(dst []byte, frags [][]byte) ([]byte, [][]byte) {
	be, flex := binary.BigEndian, a.version >= 12
	dst = be.AppendUint32(dst, 0) // throttle time
	if a.version >= 7 {
		dst = be.AppendUint16(dst, uint16(a.code))
		dst = be.AppendUint32(dst, uint32(a.session))
	}
	dst = appendCount(dst, a.topics(), flex)
	cut := 0
	for i := 0; i < len(a.results); {
		n := a.same(i)
		if key := &a.results[i].key; a.version >= 13 {
			dst = append(dst, key.id[:]...)
		} else {
			dst = appendString(dst, key.topic, flex)
		}
		dst = appendCount(dst, n, flex)
		for ; n > 0; n-- {
			r := &a.results[i]
			dst = a.appendHead(dst, r)
			if r.size > 0 {
				frags = append(frags, dst[cut:len(dst):len(dst)])
				cut = len(dst)
				for _, s := range a.slices[r.from:r.to] {
					frags = append(frags, s.Bytes)
				}
			}
			dst = r.appendTags(dst, flex)
			i++
		}
		if flex {
			dst = append(dst, 0)
		}
	}
	if flex {
		dst = appendNodes(dst, a.nodes)
	}
	return dst, append(frags, dst[cut:])
}

// topics counts runs of results with the same topic; same returns the length of the one that begins at i.
func (a *fetchAnswer) topics() (n int) {
	for i := 0; i < len(a.results); i += a.same(i) {
		n++
	}
	return n
}

func (a *fetchAnswer) same(i int) int {
	n := 1
	for i+n < len(a.results) && a.results[i+n].key.sameTopic(&a.results[i].key) {
		n++
	}
	return n
}

// appendHead appends what stands before the records, their length included.
func (a *fetchAnswer) appendHead(dst []byte, r *fetchResult) []byte {
	be, flex := binary.BigEndian, a.version >= 12
	dst = be.AppendUint32(dst, uint32(r.key.index))
	dst = be.AppendUint16(dst, uint16(r.code))
	dst = be.AppendUint64(dst, uint64(r.hw))
	dst = be.AppendUint64(dst, uint64(r.stable))
	if a.version >= 5 {
		dst = be.AppendUint64(dst, uint64(r.start))
	}
	switch { // aborted transactions
	case a.committed && r.code == codeNone:
		dst = appendCount(dst, 0, flex)
	case flex:
		dst = append(dst, 0)
	default:
		dst = append(dst, 0xff, 0xff, 0xff, 0xff)
	}
	if a.version >= 11 {
		dst = append(dst, 0xff, 0xff, 0xff, 0xff) // no preferred replica
	}
	return appendCount(dst, r.size, flex) // never null (FE4); a length is written as a count is
}

// appendTags appends the tagged fields that end a partition of a flexible version: each has a number, a length, content.
func (r *fetchResult) appendTags(dst []byte, flex bool) []byte {
	if !flex {
		return dst
	}
	diverges, hints := r.divergent.epoch >= 0, r.leader.node >= 0
	dst = append(dst, bit(diverges)+bit(hints))
	if diverges {
		dst = append(dst, 0, 4+8+1)
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.divergent.epoch))
		dst = binary.BigEndian.AppendUint64(dst, uint64(r.divergent.end))
		dst = append(dst, 0)
	}
	if hints {
		dst = append(dst, 1, 4+4+1)
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.leader.node))
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.leader.epoch))
		dst = append(dst, 0)
	}
	return dst
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// most is at least the bytes that appendTo appends to dst.
func (a *fetchAnswer) most() int {
	const perPartition, perTopic, rest = 4 + 2 + 3*8 + 4 + 4 + 5 + 3 + 14 + 11, 16 + 2 + 5 + 1, 4 + 2 + 4 + 5 + 1 + 1 + 5 + 5
	n := rest
	for i := range a.results {
		n += perPartition + perTopic + len(a.results[i].key.topic)
	}
	for _, node := range a.nodes {
		n += 4 + 5 + len(node.Host) + 4 + 5 + len(node.Zone) + 1
	}
	return n
}
