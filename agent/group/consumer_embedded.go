// Pure.

package group

import (
	"encoding/binary"
	"slices"
)

// embedded is what a classic member of type "consumer" says of itself (ConsumerProtocolSubscription, Kafka's own format inside
// JoinGroup): int16 version, topics, user data; from version 1 on the partitions that it has, from 3 on its rack.
type embedded struct {
	version int16
	topics  []string
	owned   map[string][]int32 // nil: not told, which is: none, as such a member gives up everything before it joins
	rack    string
}

// wire reads Kafka's old, not flexible encoding. After an error it returns zeros.
type wire struct {
	b   []byte
	bad bool
}

func (w *wire) take(n int) []byte {
	if n < 0 || n > len(w.b) {
		w.bad, w.b = true, nil
		return make([]byte, 4)
	}
	b := w.b[:n]
	w.b = w.b[n:]
	return b
}

func (w *wire) i16() int16 { return int16(binary.BigEndian.Uint16(w.take(2))) }
func (w *wire) i32() int32 { return int32(binary.BigEndian.Uint32(w.take(4))) }

func (w *wire) str() string {
	n := int(w.i16())
	if w.bad || n < 0 {
		return ""
	}
	return string(w.take(n))
}

// count of things that take at least size bytes each.
func (w *wire) count(size int) int {
	n := int(w.i32())
	if n < 0 || n > len(w.b)/size {
		w.bad = w.bad || n != -1
		return 0
	}
	return n
}

func (w *wire) topics() map[string][]int32 {
	out := map[string][]int32{}
	for n := w.count(6); n > 0 && !w.bad; n-- {
		name := w.str()
		for k := w.count(4); k > 0; k-- {
			out[name] = append(out[name], w.i32())
		}
	}
	return out
}

// parseEmbedded reads a subscription; a version that is newer than 3 as 3, what follows is left alone.
func parseEmbedded(b []byte) (embedded, bool) {
	w := wire{b: b}
	e := embedded{version: w.i16()}
	for n := w.count(2); n > 0 && !w.bad; n-- {
		e.topics = append(e.topics, w.str())
	}
	w.take(w.count(1)) // user data
	if e.version >= 1 {
		e.owned = w.topics()
	}
	if e.version >= 2 {
		w.i32() // generation
	}
	if e.version >= 3 {
		e.rack = w.str()
	}
	return e, !w.bad && e.version >= 0
}

// parseAssigned reads a ConsumerProtocolAssignment: version, topics with partitions, user data. Nothing at all is no partitions.
func parseAssigned(b []byte) (map[string][]int32, bool) {
	if len(b) == 0 {
		return nil, true
	}
	w := wire{b: b}
	version := w.i16()
	out := w.topics()
	return out, !w.bad && version >= 0
}

// embedAssigned writes it. Topics that are gone are left out.
func embedAssigned(p Parts, version int16, cat *Catalogue) []byte {
	var ids []TopicInfo
	for _, id := range p.topics() {
		if t, ok := cat.ids[id]; ok {
			ids = append(ids, t)
		}
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(min(version, 3)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(ids)))
	for _, t := range ids {
		b = binary.BigEndian.AppendUint16(b, uint16(len(t.Name)))
		b = append(b, t.Name...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p[t.ID])))
		for _, n := range p[t.ID] {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
	}
	return append(b, 0xff, 0xff, 0xff, 0xff) // no user data
}

// partsOf looks up topics by name. What is not there is left out: a member may name any number.
func partsOf(byName map[string][]int32, cat *Catalogue) Parts {
	out := Parts{}
	for name, ns := range byName {
		if t, ok := cat.names[name]; ok {
			out[t.ID] = slices.DeleteFunc(slices.Clone(ns), func(n int32) bool { return n < 0 || n >= t.Partitions })
		}
	}
	return out.normal()
}
