package group

import (
	"context"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// remove deletes a group: it is marked, so that nobody makes a page of it, then its pages go, then the item. Every step demands this
// coordinator's claim, so that what a later one makes under the same name stays.
func (s *store) remove(ctx context.Context) error {
	before := s.item
	s.item = records.Group{Type: before.Type, State: records.GroupRemoved, CE: s.epoch, Claim: before.Claim, V: before.V + 1, Nonce: uuid.New()}
	err := s.put(ctx, metastore.Cond{Attr: records.AttrCE, Cmp: metastore.Eq, Value: metastore.N(int64(s.epoch))},
		metastore.Cond{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(before.V)})
	if err != nil {
		return err
	}
	rows, err := s.rows(ctx, "", metastore.Consistent)
	if err != nil {
		return err
	}
	var ofMembers []string
	for _, row := range rows {
		if _, there := row.Item[records.AttrCE]; !there {
			ofMembers = append(ofMembers, row.SK)
			continue
		}
		op := metastore.Op{Kind: metastore.OpDelete, Key: metastore.Key{PK: s.cluster.GroupPagesPK(s.slot, s.group), SK: row.SK}}
		op.If = []metastore.Cond{
			{Attr: records.AttrCE, Cmp: metastore.Le, Value: metastore.N(int64(s.epoch))},
			{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: row.Item[records.AttrNonce]}, // not one that is made after this has been done
		}
		if err := s.erase(ctx, op); err != nil {
			return err
		}
	}
	if err := s.sweep(ctx, ofMembers); err != nil {
		return err
	}
	return s.erase(ctx, metastore.Op{Kind: metastore.OpDelete, Key: s.key(), If: []metastore.Cond{
		{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: records.IDValue(s.item.Nonce)}}})
}

// erase deletes an item; one that has gone is fine.
func (s *store) erase(ctx context.Context, op metastore.Op) error {
	err := retry(ctx, func(ctx context.Context) error { _, err := s.facts.Write(ctx, op); return err })
	old, cond := condition(err)
	switch {
	case cond && old == nil:
		return nil
	case cond:
		return own(old, uuid.Nil, s.epoch)
	case err != nil:
		return failed("delete the group", err)
	}
	return nil
}
