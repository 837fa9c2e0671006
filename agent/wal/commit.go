// Pure.

package wal

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// prefix finds the longest durable prefix of a session's sequence numbers.
type prefix struct {
	committed uint64          // the metastore says so
	durable   uint64          // all up to here are in the object store
	beyond    map[uint64]bool // durable, with a hole below
}

func newPrefix() *prefix { return &prefix{beyond: map[uint64]bool{}} }

// landed notes that bundle seq is in the object store.
func (p *prefix) landed(seq uint64) {
	p.beyond[seq] = true
	for p.beyond[p.durable+1] {
		p.durable++
		delete(p.beyond, p.durable)
	}
}

// verdict is what an answer to a commit or heartbeat means.
type verdict uint8

const (
	unknown verdict = iota // repeat, with the same or a larger target
	success
	fenced // the session is over
)

// judge interprets the answer to an update that asked for target, or to a heartbeat (target 0). For fenced, committed is the
// last number that is in the log, which stands for ever. An item that is gone counts as fenced with nothing known beyond
// what was confirmed.
func (p *prefix) judge(err error, target uint64) (v verdict, committed uint64) {
	if err == nil {
		return success, max(p.committed, target)
	}
	var cond *metastore.ConditionError
	if !errors.As(err, &cond) {
		return unknown, p.committed
	}
	if cond.Old == nil {
		return fenced, p.committed
	}
	old, err := records.DecodeSession(cond.Old)
	switch {
	case err != nil:
		return unknown, p.committed
	case old.State == records.Active && uint64(old.Committed) >= target:
		return success, uint64(old.Committed) // our own earlier try
	case old.State == records.Active:
		return unknown, p.committed
	}
	return fenced, uint64(old.Committed)
}

// commitOp is the one conditional write of a flush: commit, fence and heartbeat in one.
func commitOp(key metastore.Key, target uint64) metastore.Op {
	return metastore.Op{
		Kind: metastore.OpUpdate, Key: key,
		Set: metastore.Item{records.AttrCommitted: metastore.N(int64(target))},
		Add: map[string]int64{records.AttrHB: 1},
		If: []metastore.Cond{
			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()},
			{Attr: records.AttrCommitted, Cmp: metastore.Lt, Value: metastore.N(int64(target))},
		},
	}
}

// heartbeatOp is a sign of life while there is nothing to commit.
func heartbeatOp(key metastore.Key) metastore.Op {
	return metastore.Op{
		Kind: metastore.OpUpdate, Key: key,
		Add: map[string]int64{records.AttrHB: 1},
		If:  []metastore.Cond{{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()}},
	}
}

// snapOp records that a snapshot is durable. A late one never takes a newer one back.
func snapOp(key metastore.Key, seq uint64, id [16]byte) metastore.Op {
	return metastore.Op{
		Kind: metastore.OpUpdate, Key: key,
		Set: metastore.Item{records.AttrSnap: metastore.N(int64(seq)), records.AttrSnapID: metastore.B(id[:])},
		If: []metastore.Cond{
			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()},
			{Attr: records.AttrSnap, Cmp: metastore.Lt, Value: metastore.N(int64(seq))},
		},
	}
}

// otherSnapshot: the item names another snapshot, one that covers as much. This session wrote it, in an earlier try whose answer
// never came.
type otherSnapshot struct {
	seq uint64
	id  uuid.UUID
}

func (o *otherSnapshot) Error() string {
	return fmt.Sprintf("the session item names snapshot %s up to %d", o.id, o.seq)
}

// judgeSnap interprets the answer to snapOp: nil if the item names the snapshot; *otherSnapshot; records.ErrFenced; else unknown.
func judgeSnap(err error, id uuid.UUID) error {
	var cond *metastore.ConditionError
	if !errors.As(err, &cond) {
		return err
	}
	if cond.Old == nil {
		return records.ErrFenced
	}
	old, err := records.DecodeSession(cond.Old)
	switch {
	case err != nil:
		return err
	case old.SnapID == id:
		return nil // our own earlier try
	case old.State == records.Active:
		return &otherSnapshot{uint64(old.Snap), old.SnapID}
	}
	return records.ErrFenced
}
