// Pure.

package wal

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// trim is where the trim of a session stands, as far as is known: it may be further, never less far.
type trim struct {
	cluster records.Cluster
	session uuid.UUID
	grace   time.Duration // from the moment a bundle is needed by nobody to its deletion
	at      uint64
}

// ops say that nobody needs bundles below seq, and queue those that somebody needed until now for deletion: in one transaction, so
// that each is queued once, by whoever raises trim over it. What a snapshot does not cover is never trimmed, and nothing is taken back.
// None: trim is there already.
//
// The pins must have the version that the caller looked at: a pin whose outcome was unknown may land late, below what nobody held.
func (t *trim) ops(seq uint64, pins int64, now time.Time) []metastore.Op {
	first := max(1, t.at)
	if seq <= first {
		return nil
	}
	g := records.Garbage{Session: t.session, From: int64(first), End: int64(seq), NotBefore: now.Add(t.grace).UnixMilli()}
	return []metastore.Op{{
		Kind: metastore.OpUpdate, Key: t.cluster.SessionKey(t.session),
		Set: metastore.Item{records.AttrTrim: metastore.N(int64(seq))},
		If: []metastore.Cond{
			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()},
			{Attr: records.AttrTrim, Cmp: metastore.Eq, Value: metastore.N(int64(t.at))},
			{Attr: records.AttrSnap, Cmp: metastore.Ge, Value: metastore.N(int64(seq) - 1)},
		},
	}, {Kind: metastore.OpPut, Key: t.cluster.GarbageKey(g), Set: g.Item()}, t.pinsAre(pins)}
}

func (t *trim) pinsAre(version int64) metastore.Op {
	cond := metastore.Cond{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(version)}
	if version == 0 {
		cond = metastore.Cond{Cmp: metastore.ItemAbsent}
	}
	return metastore.Op{Kind: metastore.OpCheck, Key: t.cluster.PinsKey(t.session), If: []metastore.Cond{cond}}
}

// ErrPinned: the pins changed since the caller looked. Look again.
var ErrPinned = errors.New("pins have changed")

// ErrTrimTooFar: a fault of the caller, who wants to trim what no recorded snapshot covers.
var ErrTrimTooFar = errors.New("trim beyond what a recorded snapshot covers")

// judge interprets the answer to ops: nil if the item says so. metastore.ErrUnknown also if trim stood elsewhere: at knows better now.
func (t *trim) judge(err error, seq uint64) error {
	var cond *metastore.ConditionError
	switch {
	case err == nil:
		t.at = seq
		return nil
	case !errors.As(err, &cond):
		return err
	case cond.Key == t.cluster.PinsKey(t.session):
		return ErrPinned
	case cond.Old == nil:
		return records.ErrFenced
	}
	old, err := records.DecodeSession(cond.Old)
	if err != nil {
		return err
	}
	t.at = max(t.at, uint64(old.Trim))
	switch {
	case t.at >= seq:
		return nil // our own earlier try
	case old.State != records.Active:
		return records.ErrFenced
	case uint64(old.Snap)+1 < seq:
		return ErrTrimTooFar
	}
	return metastore.ErrUnknown // an earlier try, to a lower number, was applied after all; or something changed in between
}
