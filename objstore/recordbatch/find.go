// Pure.

package recordbatch

// FindOffset returns the first batch of run whose last offset is offset or later, and where it begins. If there is none, b is
// nil and pos is len(run).
func FindOffset(run []byte, offset int64) (pos int, b Batch, err error) {
	rest := run
	for {
		pos = len(run) - len(rest)
		if b, rest, err = Next(rest); b == nil || b.LastOffset() >= offset {
			return pos, b, err
		}
	}
}

// FindTimestamp returns the first record of b with a timestamp of ts, in ms since 1970, or later. ok is false if there is
// none. limit is as in Iterate; a batch whose MaxTimestamp is below ts is not opened.
func FindTimestamp(b Batch, ts int64, limit int) (offset, timestamp int64, ok bool, err error) {
	if b.MaxTimestamp() < ts {
		return 0, 0, false, nil
	}
	for r, err := range b.Iterate(limit) {
		if err != nil {
			return 0, 0, false, err
		}
		if r.Timestamp >= ts {
			return r.Offset, r.Timestamp, true, nil
		}
	}
	return 0, 0, false, nil
}

// MaxTimestampRecord returns the first record of b with the largest timestamp. ok is false if b has no records, which
// compaction can leave. limit is as in Iterate.
func MaxTimestampRecord(b Batch, limit int) (offset, timestamp int64, ok bool, err error) {
	for r, err := range b.Iterate(limit) {
		if err != nil {
			return 0, 0, false, err
		}
		if !ok || r.Timestamp > timestamp {
			offset, timestamp, ok = r.Offset, r.Timestamp, true
		}
	}
	return offset, timestamp, ok, nil
}
