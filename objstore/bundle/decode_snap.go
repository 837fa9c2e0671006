// Pure.

package bundle

import "github.com/google/uuid"

// The sections that only snapshots have.

func parseObject(b []byte, o *Object) {
	o.Kind = Kind(b[0])
	o.Session = uuid.UUID(b[8:24])
	o.Seq = le.Uint64(b[24:])
	o.Size = le.Uint64(b[32:])
}

func parsePartition(b []byte, p *Partition) {
	p.Topic = le.Uint32(b[0:])
	p.Partition = int32(le.Uint32(b[4:]))
	p.Slot = le.Uint16(b[8:])
	p.LogStart = int64(le.Uint64(b[12:]))
	p.LogEnd = int64(le.Uint64(b[20:]))
	p.Epochs = le.Uint32(b[28:])
	p.Producers = le.Uint32(b[32:])
}

// parseProducers makes two allocations: the producers, and all their batches.
func parseProducers(b []byte) ([]Producer, error) {
	n, err := countRows(b, producerRow, func(b []byte) int { return int(le.Uint16(b[10:])) * appendedRow })
	if err != nil || n == 0 {
		return nil, err
	}
	out := make([]Producer, n)
	last := make([]Appended, (len(b)-n*producerRow)/appendedRow)
	for i := range out {
		p, k := &out[i], int(le.Uint16(b[10:]))
		p.ID = int64(le.Uint64(b))
		p.Epoch = int16(le.Uint16(b[8:]))
		p.LastTimestamp = int64(le.Uint64(b[12:]))
		b = b[producerRow:]
		if k > 0 {
			p.Last, last = last[:k:k], last[k:]
		}
		for j := range p.Last {
			parseAppended(b, &p.Last[j])
			b = b[appendedRow:]
		}
	}
	return out, nil
}

func parseAppended(b []byte, a *Appended) {
	a.FirstSeq = int32(le.Uint32(b))
	a.LastSeq = int32(le.Uint32(b[4:]))
	a.FirstOffset = int64(le.Uint64(b[8:]))
	a.LastOffset = int64(le.Uint64(b[16:]))
	a.Timestamp = int64(le.Uint64(b[24:]))
}
