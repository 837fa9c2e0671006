// Pure.

package bundle

// The sections that only snapshots have.

func appendObjects(dst []byte, objects []Object) []byte {
	dst, b := section(dst, secObjects, len(objects)*objectRow)
	for i := range objects {
		o := &objects[i]
		clear(b[:8])
		b[0] = byte(o.Kind)
		copy(b[8:], o.Session[:])
		le.PutUint64(b[24:], o.Seq)
		le.PutUint64(b[32:], o.Size)
		b = b[objectRow:]
	}
	return dst
}

func appendPartitions(dst []byte, parts []Partition) []byte {
	dst, b := section(dst, secPartitions, len(parts)*partitionRow)
	for i := range parts {
		p := &parts[i]
		le.PutUint32(b[0:], p.Topic)
		le.PutUint32(b[4:], uint32(p.Partition))
		le.PutUint16(b[8:], p.Slot)
		le.PutUint16(b[10:], 0)
		le.PutUint64(b[12:], uint64(p.LogStart))
		le.PutUint64(b[20:], uint64(p.LogEnd))
		le.PutUint32(b[28:], p.Epochs)
		le.PutUint32(b[32:], p.Producers)
		b = b[partitionRow:]
	}
	return dst
}

func appendEpochs(dst []byte, epochs []Epoch) []byte {
	dst, b := section(dst, secEpochs, len(epochs)*epochRow)
	for i := range epochs {
		le.PutUint32(b, uint32(epochs[i].Epoch))
		le.PutUint64(b[4:], uint64(epochs[i].Start))
		b = b[epochRow:]
	}
	return dst
}

func appendProducers(dst []byte, ps []Producer) []byte {
	dst, b := section(dst, secProducers, producersLen(ps))
	for i := range ps {
		p := &ps[i]
		le.PutUint64(b, uint64(p.ID))
		le.PutUint16(b[8:], uint16(p.Epoch))
		le.PutUint16(b[10:], uint16(len(p.Last)))
		le.PutUint64(b[12:], uint64(p.LastTimestamp))
		b = b[producerRow:]
		for j := range p.Last {
			a := &p.Last[j]
			le.PutUint32(b, uint32(a.FirstSeq))
			le.PutUint32(b[4:], uint32(a.LastSeq))
			le.PutUint64(b[8:], uint64(a.FirstOffset))
			le.PutUint64(b[16:], uint64(a.LastOffset))
			le.PutUint64(b[24:], uint64(a.Timestamp))
			b = b[appendedRow:]
		}
	}
	return dst
}
