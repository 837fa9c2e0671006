// Pure.

package bundle

import (
	"hash/crc32"
	"slices"
)

// FooterSize returns how many bytes AppendFooter appends for f, so that a writer sizes its buffer once.
func FooterSize(f *Footer) int {
	n := TrailerLen
	add := func(bytes int) {
		if bytes > 0 {
			n += secHead + bytes
		}
	}
	add(topicsLen(f.Topics))
	add(len(f.Slots) * slotRow)
	add(len(f.Runs) * runRow)
	add(len(f.Batches) * batchRow)
	add(len(f.Sparse) * sparseRow)
	add(len(f.Refs) * refRow)
	add(opsLen(f.Ops))
	add(len(f.Objects) * objectRow)
	add(len(f.Partitions) * partitionRow)
	add(len(f.Epochs) * epochRow)
	add(producersLen(f.Producers))
	return n
}

func topicsLen(topics []Topic) int {
	n := len(topics) * topicRow
	for i := range topics {
		n += len(topics[i].Name)
	}
	return n
}

func opsLen(ops []Op) int {
	n := len(ops) * opRow
	for i := range ops {
		n += len(ops[i].Key)
	}
	return n
}

func producersLen(ps []Producer) int {
	n := len(ps) * producerRow
	for i := range ps {
		n += len(ps[i].Last) * appendedRow
	}
	return n
}

// AppendFooter appends the footer and the trailer. dst is the whole object so far, so that len(dst) is the footer's
// position. It writes what it is given: a writer calls Footer.Check first, because a footer that does not pass is refused by
// every reader, and its object is lost. Less than 4 GiB.
func AppendFooter(dst []byte, kind Kind, f *Footer) []byte {
	pos := len(dst)
	dst = slices.Grow(dst, FooterSize(f))
	dst = appendTopics(dst, f.Topics)
	dst = appendSlots(dst, f.Slots)
	dst = appendRuns(dst, f.Runs)
	dst = appendBatches(dst, f.Batches)
	dst = appendSparse(dst, f.Sparse)
	dst = appendRefs(dst, f.Refs)
	dst = appendOps(dst, f.Ops)
	dst = appendObjects(dst, f.Objects)
	dst = appendPartitions(dst, f.Partitions)
	dst = appendEpochs(dst, f.Epochs)
	dst = appendProducers(dst, f.Producers)
	return appendTrailer(dst, pos, kind)
}

// appendTrailer closes the footer that begins at pos.
func appendTrailer(dst []byte, pos int, kind Kind) []byte {
	at := len(dst)
	dst = le.AppendUint64(dst, uint64(pos))
	dst = le.AppendUint32(dst, uint32(at-pos))
	dst = append(dst, 0, 0, 0, 0)
	dst = le.AppendUint16(dst, Version)
	dst = append(dst, byte(kind), 0, 0, 0, 0, 0)
	dst = append(dst, tailMagic...)
	le.PutUint32(dst[at+12:], footerCRC(dst[pos:]))
	return dst
}

// footerCRC is the CRC-32C of sections and trailer, leaving out the field that holds it.
func footerCRC(footer []byte) uint32 {
	at := len(footer) - TrailerLen
	crc := crc32.Checksum(footer[:at+12], castagnoli)
	return crc32.Update(crc, castagnoli, footer[at+16:])
}

// section appends a section's header and makes room for its n bytes, which it returns to be filled. None if n is 0.
func section(dst []byte, typ uint16, n int) (grown, room []byte) {
	if n == 0 {
		return dst, nil
	}
	dst = le.AppendUint16(dst, typ)
	dst = le.AppendUint32(dst, uint32(n))
	at := len(dst)
	dst = dst[:at+n]
	return dst, dst[at:]
}

func appendTopics(dst []byte, topics []Topic) []byte {
	dst, b := section(dst, secTopics, topicsLen(topics))
	for i := range topics {
		t := &topics[i]
		copy(b, t.ID[:])
		le.PutUint32(b[16:], t.Partitions)
		le.PutUint16(b[20:], uint16(len(t.Name)))
		copy(b[topicRow:], t.Name)
		b = b[topicRow+len(t.Name):]
	}
	return dst
}

func appendSlots(dst []byte, slots []Slot) []byte {
	dst, b := section(dst, secSlots, len(slots)*slotRow)
	for i := range slots {
		s := &slots[i]
		le.PutUint16(b, s.Slot)
		le.PutUint32(b[2:], uint32(s.Epoch))
		le.PutUint32(b[6:], s.FirstRun)
		le.PutUint32(b[10:], s.Runs)
		b = b[slotRow:]
	}
	return dst
}

func appendRuns(dst []byte, runs []Run) []byte {
	dst, b := section(dst, secRuns, len(runs)*runRow)
	for i := range runs {
		r, p := &runs[i], (*[runRow]byte)(b)
		le.PutUint32(p[0:], r.Topic)
		le.PutUint32(p[4:], uint32(r.Partition))
		le.PutUint16(p[8:], r.Slot)
		le.PutUint16(p[10:], r.Flags)
		le.PutUint32(p[12:], uint32(r.LeaderEpoch))
		le.PutUint64(p[16:], uint64(r.Base))
		le.PutUint64(p[24:], uint64(r.Next))
		le.PutUint64(p[32:], r.Pos)
		le.PutUint32(p[40:], r.Len)
		le.PutUint32(p[44:], r.Batches)
		le.PutUint64(p[48:], uint64(r.MaxTimestamp))
		le.PutUint32(p[56:], r.FirstBatch)
		le.PutUint32(p[60:], r.Digest)
		b = b[runRow:]
	}
	return dst
}

func appendBatches(dst []byte, batches []Batch) []byte {
	dst, b := section(dst, secBatches, len(batches)*batchRow)
	for i := range batches {
		x, p := &batches[i], (*[batchRow]byte)(b)
		le.PutUint32(p[0:], x.PosDelta)
		le.PutUint32(p[4:], x.Len)
		le.PutUint32(p[8:], x.OffsetDelta)
		le.PutUint32(p[12:], x.LastOffsetDelta)
		le.PutUint64(p[16:], uint64(x.MaxTimestamp))
		le.PutUint64(p[24:], uint64(x.ProducerID))
		le.PutUint16(p[32:], uint16(x.ProducerEpoch))
		le.PutUint16(p[34:], x.Attributes)
		le.PutUint32(p[36:], uint32(x.BaseSequence))
		le.PutUint32(p[40:], x.Records)
		b = b[batchRow:]
	}
	return dst
}

func appendSparse(dst []byte, sparse []Sparse) []byte {
	dst, b := section(dst, secSparse, len(sparse)*sparseRow)
	for i := range sparse {
		x, p := &sparse[i], (*[sparseRow]byte)(b)
		le.PutUint32(p[0:], x.OffsetDelta)
		le.PutUint32(p[4:], x.PosDelta)
		le.PutUint64(p[8:], uint64(x.MaxTimestamp))
		le.PutUint32(p[16:], x.Batches)
		b = b[sparseRow:]
	}
	return dst
}

func appendRefs(dst []byte, refs []Ref) []byte {
	dst, b := section(dst, secRefs, len(refs)*refRow)
	for i := range refs {
		le.PutUint32(b[i*refRow:], refs[i].Object)
	}
	return dst
}

func appendOps(dst []byte, ops []Op) []byte {
	dst, b := section(dst, secOps, opsLen(ops))
	for i := range ops {
		o := &ops[i]
		b[0], b[1] = byte(o.Kind), 0
		le.PutUint16(b[2:], o.Slot)
		le.PutUint32(b[4:], uint32(o.Epoch))
		le.PutUint32(b[8:], o.Topic)
		le.PutUint32(b[12:], uint32(o.Partition))
		le.PutUint64(b[16:], uint64(o.Offset))
		le.PutUint16(b[24:], uint16(len(o.Key)))
		copy(b[opRow:], o.Key)
		b = b[opRow+len(o.Key):]
	}
	return dst
}
