package group

import (
	"context"
	"maps"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// pageKey names a page of offsets of a group.
type pageKey struct {
	topic uuid.UUID
	n     int32
}

// page is a page of committed offsets. Only stored is told to anybody.
type page struct {
	there   bool // in the metastore
	stored  records.GroupOffsets
	next    map[int32]records.GroupOffset // to be written; nil: nothing
	gone    map[int32]bool                // to be taken out
	waiting []*commit                     // for what is to be written
	writing []*commit                     // for the write that is under way
	busy    bool                          // a write is under way
}

// begin returns what the page will hold when the write that is to be begun has succeeded.
func (p *page) begin(epoch int32) records.GroupOffsets {
	w := records.GroupOffsets{Offsets: maps.Clone(p.stored.Offsets), CE: epoch, V: p.stored.V + 1, Nonce: uuid.New()}
	if w.Offsets == nil {
		w.Offsets = map[int32]records.GroupOffset{}
	}
	for n := range p.gone {
		delete(w.Offsets, n)
	}
	maps.Copy(w.Offsets, p.next)
	p.next, p.gone, p.busy = nil, nil, true
	p.writing, p.waiting = p.waiting, nil
	return w
}

// pageWrite is the write of one page.
type pageWrite struct {
	key  pageKey
	make bool      // the page is not there yet
	old  uuid.UUID // nonce of the page as it is
	page records.GroupOffsets
}

// op is the write of w. A page that becomes empty is deleted.
func (s *store) op(w pageWrite) metastore.Op {
	op := metastore.Op{Kind: metastore.OpPut, Key: s.cluster.GroupOffsetsKey(s.slot, s.group, w.key.topic, w.key.n)}
	if w.make {
		op.If = []metastore.Cond{{Cmp: metastore.ItemAbsent}}
	} else {
		op.If = []metastore.Cond{
			{Attr: records.AttrCE, Cmp: metastore.Eq, Value: metastore.N(int64(s.epoch))},
			{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(w.page.V - 1)},
			{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: records.IDValue(w.old)}, // a page that was made anew counts from 1 again
		}
	}
	if len(w.page.Offsets) == 0 && !w.make {
		op.Kind = metastore.OpDelete
		return op
	}
	op.Set = w.page.Item(w.key.n)
	return op
}

// write changes a page that is there.
func (s *store) write(ctx context.Context, w pageWrite) error {
	op := s.op(w)
	err := retry(ctx, func(ctx context.Context) error { _, err := s.facts.Write(ctx, op); return err })
	if old, cond := condition(err); cond {
		if old == nil && op.Kind == metastore.OpDelete {
			return nil // an earlier try, or a coordinator that did the same
		}
		return own(old, w.page.Nonce, s.epoch)
	}
	if err != nil {
		return failed("write offsets", err)
	}
	return nil
}

// makePages creates pages that were not there, all or none, if this very claim of the group still stands: absence is not permission.
// A later claim, also one of this agent, has read the pages: it would not know of one that is made behind its back. claim is
// that of the actor, which changes s.item.
func (s *store) makePages(ctx context.Context, claim int64, all []pageWrite) error {
	ops := []metastore.Op{{Kind: metastore.OpCheck, Key: s.key(), If: []metastore.Cond{
		{Attr: records.AttrCE, Cmp: metastore.Eq, Value: metastore.N(int64(s.epoch))},
		{Attr: records.AttrClaim, Cmp: metastore.Eq, Value: metastore.N(claim)},
		{Attr: records.AttrState, Cmp: metastore.Ne, Value: metastore.S(string(records.GroupRemoved))},
	}}}
	for _, w := range all {
		ops = append(ops, s.op(w))
	}
	err := retry(ctx, func(ctx context.Context) error { return s.facts.Transact(ctx, ops) })
	if old, cond := condition(err); cond {
		for _, w := range all {
			if old != nil && own(old, w.page.Nonce, s.epoch) == nil {
				return nil // an earlier try of this very transaction
			}
		}
		return own(old, uuid.Nil, s.epoch)
	}
	if err != nil {
		return failed("make pages of offsets", err)
	}
	return nil
}
