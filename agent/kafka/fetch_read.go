package kafka

import (
	"slices"

	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// collect looks at every partition anew and takes what memory holds, up to the limits. It never waits.
func (op *fetchOp) collect() {
	op.drop()
	op.held = op.c.hold(int64(op.maxBytes))
	room := int(op.held)
	op.urgent, op.missed = len(op.parts) == 0, false
	for i := range op.parts {
		part := &op.parts[i]
		before := part.inspect(op.stable)
		switch {
		case part.look.code != codeNone || part.look.divergent.epoch >= 0:
			op.urgent = true
		case before < 0: // above the log end, to be confirmed
			op.missed = true
		case part.want.offset < before && (op.size == 0 || op.size < room):
			n, err := 0, error(nil)
			op.slices, n, err = op.c.s.deps.Reader.Read(op.c.ctx,
				part.request(before, min(part.most(), max(room-op.size, 0)), op.size == 0, fetch.Cached), op.slices)
			part.miss = n == 0 && err != nil
			op.missed = op.missed || part.miss
			op.add(part, n)
		}
	}
	op.settle()
}

func (part *fetchPart) most() int { return int(max(part.want.maxBytes, 0)) }

// request asks for the part's records that lie before an offset.
func (part *fetchPart) request(before int64, most int, atLeastOne bool, mode fetch.Mode) fetch.Request {
	id := part.p.ID()
	return fetch.Request{
		Log: part.p, Topic: id.Topic, Index: id.Index, From: part.want.offset, Before: before,
		MaxBytes: most, AtLeastOne: atLeastOne, Mode: mode,
	}
}

// add makes the last n bytes of the slices the records of part.
func (op *fetchOp) add(part *fetchPart, n int) {
	if n == 0 {
		return
	}
	to := len(op.slices)
	from := to
	for left := n; left > 0; left -= len(op.slices[from].Bytes) {
		from--
	}
	if op.sl.hdr.version < 10 && slices.ContainsFunc(op.slices[from:], holdsZstd) {
		for _, s := range op.slices[from:] {
			s.Release()
		}
		clear(op.slices[from:])
		op.slices = op.slices[:from]
		part.look.code, op.urgent = codeUnsupportedCompression, true
		return
	}
	part.look.from, part.look.to, part.look.size = from, to, n
	op.size += n
}

// settle makes what is held what was read: one batch more than the share, at most.
func (op *fetchOp) settle() {
	op.c.unhold(op.held - int64(op.size))
	op.held = int64(op.size)
}

// drop lets go of what was read.
func (op *fetchOp) drop() {
	for i := range op.slices {
		op.slices[i].Release()
		op.slices[i] = fetch.Slice{}
	}
	op.c.unhold(op.held)
	op.slices, op.size, op.held = op.slices[:0], 0, 0
}

// inspect brings a partition's result up to date, and returns the offset before which it may be read; -1 if the wanted one
// is above the log end, or its epoch not known here, which must be confirmed before it is said.
func (part *fetchPart) inspect(stable bool) (before int64) {
	part.miss = false
	part.blank(part.code)
	if part.p == nil {
		return 0
	}
	st, err := part.p.State()
	if err != nil {
		part.look.code = codeOf(err, codeUnknown)
		return 0
	}
	if part.look.code = checkEpoch(part.want.epoch, st.Epoch); part.look.code != codeNone {
		return 0
	}
	part.look.hw, part.look.stable, part.look.start = st.HighWatermark, st.LastStable, st.LogStart
	if part.want.lastEpoch >= 0 {
		epoch, end := part.p.EndOfEpoch(part.want.lastEpoch)
		switch {
		case epoch < 0 && !part.confirmed: // whoever succeeded us may have begun it
			return -1
		case epoch < 0:
			part.outOfRange()
			return 0
		case epoch < part.want.lastEpoch || end < part.want.offset:
			part.look.divergent = divergence{epoch, end}
			return 0
		}
	}
	switch at := part.want.offset; {
	case at < st.LogStart || at > st.LogEnd && part.confirmed:
		part.outOfRange()
	case at > st.LogEnd:
		return -1
	}
	if stable {
		return st.LastStable
	}
	return st.HighWatermark
}

// blank makes the result one that tells a code and nothing else.
func (part *fetchPart) blank(code int16) {
	part.look = fetchResult{key: part.key, code: code, hw: -1, stable: -1, start: -1, divergent: divergence{epoch: -1}, leader: noLeader}
}

func (part *fetchPart) outOfRange() {
	part.look.code = codeOffsetOutOfRange
	part.look.hw, part.look.stable, part.look.start = -1, -1, -1
}

// checkEpoch compares the leader epoch that a client knows with ours (KIP-320).
func checkEpoch(client, ours int32) int16 {
	switch {
	case client < 0 || client == ours:
		return codeNone
	case client < ours:
		return codeFencedLeaderEpoch
	}
	return codeUnknownLeaderEpoch
}

// holdsZstd reports whether a batch is compressed with zstd, which consumers before version 10 do not know (KIP-110).
func holdsZstd(s fetch.Slice) bool {
	for rest := s.Bytes; ; {
		b, after, err := recordbatch.Next(rest)
		if err != nil || b == nil {
			return false
		}
		if b.Codec() == recordbatch.Zstd {
			return true
		}
		rest = after
	}
}
