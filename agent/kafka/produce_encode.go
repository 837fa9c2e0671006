// Pure.

package kafka

import (
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
)

// produceResult is the answer for one partition.
type produceResult struct {
	index      int32
	code       int16
	slot       uint16 // of the partition, if it is known
	pending    bool   // not decided yet
	base       int64
	appendTime int64
	logStart   int64
	message    string        // to the code, may be empty
	records    []int32       // that were refused, by their place in the batch (KIP-467)
	leader     toldLeader    // for code 6 (KIP-951); Node -1: no hint
	node       *cluster.Node // its address
}

// producedTopic is a topic of an answer, and how many of the results are its own.
type producedTopic struct {
	name  string    // until version 12
	id    uuid.UUID // from version 13 on
	parts int
}

// appendProduce appends the body of a Produce response of version 3 to 13.
func appendProduce(dst []byte, version int16, topics []producedTopic, results []produceResult) []byte {
	flex := version >= 9
	dst = appendCount(dst, len(topics), flex)
	for _, t := range topics {
		if version >= 13 {
			dst = append(dst, t.id[:]...)
		} else {
			dst = appendString(dst, t.name, flex)
		}
		dst = appendCount(dst, t.parts, flex)
		for i := range results[:t.parts] {
			dst = results[i].append(dst, version)
		}
		results = results[t.parts:]
		if flex {
			dst = append(dst, 0)
		}
	}
	dst = binary.BigEndian.AppendUint32(dst, 0) // throttle time
	return dst
}

func (r *produceResult) append(dst []byte, version int16) []byte {
	be, flex := binary.BigEndian, version >= 9
	dst = be.AppendUint32(dst, uint32(r.index))
	dst = be.AppendUint16(dst, uint16(r.code))
	dst = be.AppendUint64(dst, uint64(r.base))
	dst = be.AppendUint64(dst, uint64(r.appendTime))
	if version >= 5 {
		dst = be.AppendUint64(dst, uint64(r.logStart))
	}
	if version >= 8 {
		dst = appendCount(dst, len(r.records), flex)
		for _, at := range r.records {
			dst = be.AppendUint32(dst, uint32(at))
			dst = appendNullable(dst, "", flex)
			if flex {
				dst = append(dst, 0)
			}
		}
		dst = appendNullable(dst, r.message, flex)
	}
	switch {
	case !flex:
	case version >= 10 && r.leader.node >= 0 && r.code == codeNotLeaderOrFollower:
		dst = append(dst, 1, 0, 4+4+1) // one tagged field: number 0, its length
		dst = be.AppendUint32(dst, uint32(r.leader.node))
		dst = be.AppendUint32(dst, uint32(r.leader.epoch))
		dst = append(dst, 0)
	default:
		dst = append(dst, 0)
	}
	return dst
}

// appendProduceEnd appends what ends the response of a flexible version: the addresses of the leaders that it names.
func appendProduceEnd(dst []byte, version int16, results []produceResult) []byte {
	if version < 9 {
		return dst
	}
	var nodes []*cluster.Node
	for i := range results {
		if r := &results[i]; version >= 10 && r.node != nil && r.code == codeNotLeaderOrFollower {
			nodes = addNode(nodes, r.node)
		}
	}
	return appendNodes(dst, nodes)
}

// appendNodes appends the tagged fields that end a response: number 0, the addresses, if there are any.
func appendNodes(dst []byte, nodes []*cluster.Node) []byte {
	if len(nodes) == 0 {
		return append(dst, 0)
	}
	field := appendCount(nil, len(nodes), true)
	for _, n := range nodes {
		field = binary.BigEndian.AppendUint32(field, uint32(n.ID))
		field = appendString(field, n.Host, true)
		field = binary.BigEndian.AppendUint32(field, uint32(n.Port))
		field = appendNullable(field, n.Zone, true)
		field = append(field, 0)
	}
	dst = append(dst, 1, 0)
	dst = binary.AppendUvarint(dst, uint64(len(field)))
	return append(dst, field...)
}

func addNode(nodes []*cluster.Node, n *cluster.Node) []*cluster.Node {
	for _, have := range nodes {
		if have.ID == n.ID {
			return nodes
		}
	}
	return append(nodes, n)
}

// appendCount appends the length of an array.
func appendCount(dst []byte, n int, flex bool) []byte {
	if flex {
		return binary.AppendUvarint(dst, uint64(n)+1)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

func appendString(dst []byte, s string, flex bool) []byte {
	if flex {
		dst = binary.AppendUvarint(dst, uint64(len(s))+1)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	}
	return append(dst, s...)
}

// appendNullable appends a string, null if it is empty.
func appendNullable(dst []byte, s string, flex bool) []byte {
	switch {
	case s != "":
		return appendString(dst, s, flex)
	case flex:
		return append(dst, 0)
	}
	return append(dst, 0xff, 0xff)
}
