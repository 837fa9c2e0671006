package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Bounds of what is stored.
const (
	inlineMembers = 2 << 10          // bytes of packed members that stand in the group item; more stand in pages
	storeTime     = 10 * time.Second // for a write or a load, tries included
	claimsAtOnce  = 16
)

// PurposeGroup marks the requests of this package.
const PurposeGroup metastore.Purpose = "group"

// store is a group's items: claims, reads and writes of one coordinator, under one epoch. item is the group item as it was seen or
// written last.
type store struct {
	facts   metastore.Store
	cluster records.Cluster
	slot    uint16
	group   string
	epoch   int32
	item    records.Group
}

func (s *store) key() metastore.Key { return s.cluster.GroupKey(s.slot, s.group) }

// retry repeats do while the metastore is busy or unsure, for storeTime at most. A failed condition is an answer.
func retry(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(metastore.WithPurpose(ctx, PurposeGroup), storeTime)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := do(ctx)
		if !errors.Is(err, metastore.ErrUnknown) && !errors.Is(err, metastore.ErrThrottled) && !errors.Is(err, metastore.ErrConflict) {
			return err
		}
		select {
		case <-time.After(pause/2 + time.Duration(rand.Int64N(int64(pause)))):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// failed turns an error of the metastore into what requests are told.
func failed(what string, err error) error {
	for _, known := range []error{ErrUnavailable, ErrNotCoordinator, ErrLoading, ErrBad} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
}

// claim makes this coordinator the one whose writes count, and reads the item. there is false if there is no such group.
func (s *store) claim(ctx context.Context) (there bool, err error) {
	var it metastore.Item
	id := records.IDValue(uuid.New())
	err = retry(ctx, func(ctx context.Context) (err error) {
		it, err = s.facts.Write(ctx, metastore.Op{
			Kind: metastore.OpUpdate, Key: s.key(),
			Set: metastore.Item{records.AttrCE: metastore.N(int64(s.epoch)), records.AttrNonce: id},
			Add: map[string]int64{records.AttrV: 1, records.AttrClaim: 1},
			If:  []metastore.Cond{{Cmp: metastore.ItemExists}, {Attr: records.AttrCE, Cmp: metastore.Le, Value: metastore.N(int64(s.epoch))}},
		})
		return err
	})
	if old, cond := condition(err); cond {
		if old == nil {
			return false, nil
		}
		return false, ErrNotCoordinator
	}
	if err != nil {
		return false, failed("claim the group", err)
	}
	if s.item, err = records.DecodeGroup(it); err != nil {
		return false, fmt.Errorf("%w: %w", ErrBad, err)
	}
	return true, nil
}

// exists reads consistently whether there is such a group.
func (s *store) exists(ctx context.Context) (bool, error) {
	err := retry(ctx, func(ctx context.Context) error {
		_, err := s.facts.Get(ctx, s.key(), metastore.Consistent)
		return err
	})
	switch {
	case errors.Is(err, metastore.ErrNotFound):
		return false, nil
	case err != nil:
		return false, failed("look for the group", err)
	}
	return true, nil
}

// condition returns the old item of a failed condition.
func condition(err error) (metastore.Item, bool) {
	var c *metastore.ConditionError
	if !errors.As(err, &c) {
		return nil, false
	}
	return c.Old, true
}

// create makes the item of a group that claim did not find; ErrLoading if it is there by now.
func (s *store) create(ctx context.Context) error {
	claim := rand.Int64N(1 << 40) // not one of a group of this name that was deleted: see makePages
	s.item = records.Group{Type: records.ClassicGroup, State: records.GroupEmpty, CE: s.epoch, Claim: claim, V: 1, Nonce: uuid.New()}
	return s.put(ctx, metastore.Cond{Cmp: metastore.ItemAbsent})
}

// save writes the item, and the members before it in pages if they are many. The pages of the set before are deleted.
func (s *store) save(ctx context.Context, g records.Group, members []records.GroupMember) error {
	blob := records.PackGroupMembers(members)
	before := s.item
	g.CE, g.Claim, g.V, g.Nonce = s.epoch, s.item.Claim, s.item.V+1, uuid.New()
	if len(blob) <= inlineMembers {
		g.Members = blob
	} else {
		g.Set = uuid.New() // of its own: nobody else, not even this agent in an earlier try, writes these pages
		for piece := range slices.Chunk(blob, records.MemberPageBytes) {
			op := metastore.Op{Kind: metastore.OpPut, Key: s.cluster.GroupMembersKey(s.slot, s.group, g.Set, g.Pages), Set: records.GroupMembersItem(piece)}
			if err := retry(ctx, func(ctx context.Context) error { _, err := s.facts.Write(ctx, op); return err }); err != nil {
				return failed("write members", err)
			}
			g.Pages++
		}
	}
	s.item = g
	err := s.put(ctx, metastore.Cond{Attr: records.AttrCE, Cmp: metastore.Eq, Value: metastore.N(int64(s.epoch))},
		metastore.Cond{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(before.V)})
	s.item.Members = nil // the core has them
	if err == nil {
		s.drop(ctx, before)
	}
	return err
}

// drop deletes the member pages of a set that is not current any more. What it leaves behind the next load finds.
func (s *store) drop(ctx context.Context, g records.Group) {
	for page := range g.Pages {
		_, _ = s.facts.Write(ctx, metastore.Op{Kind: metastore.OpDelete, Key: s.cluster.GroupMembersKey(s.slot, s.group, g.Set, page)})
	}
}

// put writes s.item if conds hold of the one before, and knows its own success by the nonce.
func (s *store) put(ctx context.Context, conds ...metastore.Cond) error {
	op := metastore.Op{Kind: metastore.OpPut, Key: s.key(), Set: s.item.Item(), If: conds}
	err := retry(ctx, func(ctx context.Context) error { _, err := s.facts.Write(ctx, op); return err })
	if old, cond := condition(err); cond {
		return own(old, s.item.Nonce, s.epoch)
	}
	if err != nil {
		return failed("write the group", err)
	}
	return nil
}

// own says what a failed condition means, by the item that it found: nil if it is what was written.
func own(old metastore.Item, nonce uuid.UUID, epoch int32) error {
	if old == nil {
		return ErrNotCoordinator // somebody deleted it
	}
	if v, ok := old[records.AttrNonce]; ok && v.Equal(records.IDValue(nonce)) {
		return nil
	}
	if ce, ok := old[records.AttrCE].Num(); ok && ce > int64(epoch) {
		return ErrNotCoordinator
	}
	return ErrLoading // an earlier try of this agent, or a claim: read it again
}

// confirm reads consistently whether this coordinator's claim still stands: who was replaced must not tell old offsets.
func (s *store) confirm(ctx context.Context) error {
	var it metastore.Item
	err := retry(ctx, func(ctx context.Context) (err error) {
		it, err = s.facts.Get(ctx, s.key(), metastore.Consistent)
		return err
	})
	if errors.Is(err, metastore.ErrNotFound) {
		return ErrNotCoordinator
	}
	if err != nil {
		return failed("confirm the claim of the group", err)
	}
	if ce, ok := it[records.AttrCE].Num(); !ok || ce != int64(s.epoch) {
		return ErrNotCoordinator
	}
	return nil
}

// pages reads all pages of a claimed group: its packed members, its pages of offsets, which it claims, and its stale member pages,
// which it deletes.
func (s *store) pages(ctx context.Context) (members []byte, offsets map[pageKey]*page, err error) {
	rows, err := s.rows(ctx, "", metastore.Consistent)
	if err != nil {
		return nil, nil, err
	}
	pieces := map[string][]byte{}
	var keys []pageKey
	for _, row := range rows {
		if strings.HasPrefix(row.SK, records.GroupMembersPrefix) {
			piece, err := records.DecodeGroupMembersPage(row.Item)
			if err != nil {
				return nil, nil, fmt.Errorf("%w: %w", ErrBad, err)
			}
			pieces[row.SK] = piece
			continue
		}
		topic, n, err := records.ParseGroupOffsetsSK(row.SK)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrBad, err)
		}
		keys = append(keys, pageKey{topic, n})
	}
	members = s.item.Members
	s.item.Members = nil // the core will have them
	for n := range s.item.Pages {
		sk := s.cluster.GroupMembersKey(s.slot, s.group, s.item.Set, n).SK
		piece, ok := pieces[sk]
		if !ok {
			if err := s.confirm(ctx); err != nil {
				return nil, nil, err // whoever came after has written another set
			}
			return nil, nil, fmt.Errorf("%w: page %d of the members is not there", ErrBad, n)
		}
		members = append(members, piece...)
		delete(pieces, sk)
	}
	if err := s.sweep(ctx, slices.Sorted(maps.Keys(pieces))); err != nil {
		return nil, nil, err
	}
	offsets, err = s.claimPages(ctx, keys)
	return members, offsets, err
}

// sweep deletes pages of members, if the group item still is as this coordinator wrote it last: what looks stale to one that was replaced
// may be what its successor needs.
func (s *store) sweep(ctx context.Context, stale []string) error {
	for some := range slices.Chunk(stale, metastore.MaxTransact-1) {
		ops := []metastore.Op{{Kind: metastore.OpCheck, Key: s.key(), If: []metastore.Cond{
			{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: records.IDValue(s.item.Nonce)}}}}
		for _, sk := range some {
			ops = append(ops, metastore.Op{Kind: metastore.OpDelete, Key: metastore.Key{PK: s.cluster.GroupPagesPK(s.slot, s.group), SK: sk}})
		}
		err := retry(ctx, func(ctx context.Context) error { return s.facts.Transact(ctx, ops) })
		if old, cond := condition(err); cond {
			return own(old, uuid.Nil, s.epoch)
		}
		if err != nil {
			return failed("delete pages of members", err)
		}
	}
	return nil
}

// rows reads the group's pages whose sort keys begin with prefix.
func (s *store) rows(ctx context.Context, prefix string, how metastore.Consistency) ([]metastore.Row, error) {
	var rows []metastore.Row
	q := metastore.Query{PK: s.cluster.GroupPagesPK(s.slot, s.group), Prefix: prefix, Consistency: how}
	for {
		var p metastore.Page
		err := retry(ctx, func(ctx context.Context) (err error) { p, err = s.facts.Query(ctx, q); return err })
		if err != nil {
			return nil, failed("read the group's pages", err)
		}
		rows = append(rows, p.Rows...)
		if q.After = p.Next; q.After == "" {
			return rows, nil
		}
	}
}

// claimPages claims pages of offsets, several at once; what each holds is what its claim returns.
func (s *store) claimPages(ctx context.Context, keys []pageKey) (map[pageKey]*page, error) {
	offsets, errs := make(map[pageKey]*page, len(keys)), make([]error, claimsAtOnce)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range min(claimsAtOnce, len(keys)) {
		wg.Go(func() {
			for i := w; i < len(keys) && errs[w] == nil; i += claimsAtOnce {
				p, err := s.claimPage(ctx, keys[i])
				if errs[w] = err; p != nil {
					mu.Lock()
					offsets[keys[i]] = p
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return offsets, errors.Join(errs...)
}

// claimPage returns nil if the page has gone.
func (s *store) claimPage(ctx context.Context, key pageKey) (*page, error) {
	var it metastore.Item
	err := retry(ctx, func(ctx context.Context) (err error) {
		it, err = s.facts.Write(ctx, metastore.Op{
			Kind: metastore.OpUpdate, Key: s.cluster.GroupOffsetsKey(s.slot, s.group, key.topic, key.n),
			Set: metastore.Item{records.AttrCE: metastore.N(int64(s.epoch)), records.AttrNonce: records.IDValue(uuid.New())},
			Add: map[string]int64{records.AttrV: 1},
			If:  []metastore.Cond{{Cmp: metastore.ItemExists}, {Attr: records.AttrCE, Cmp: metastore.Le, Value: metastore.N(int64(s.epoch))}},
		})
		return err
	})
	if old, cond := condition(err); cond {
		if old == nil {
			return nil, nil
		}
		return nil, ErrNotCoordinator
	}
	if err != nil {
		return nil, failed("claim a page of offsets", err)
	}
	o, err := records.DecodeGroupOffsets(it, key.n)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	}
	return &page{there: true, stored: o}, nil
}
