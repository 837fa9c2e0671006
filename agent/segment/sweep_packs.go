package segment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// idle is a pack of a drained session.
type idle struct {
	found
	item records.Pack
}

// packs looks for packs that nobody needs and whose counters do not say so: a crash came between a pack and the snapshot that was to name it,
// or between a move of its runs and its counter. A counter that is too high while a run is needed stays: nobody can tell which debits are on
// their way. It goes with the item, once no run is needed.
func (l *look) packs(ctx context.Context) error {
	all := map[uuid.UUID]idle{}
	err := l.walk(ctx, objstore.KindPack, func(ctx context.Context, o found) (string, error) {
		it, err := l.item(ctx, l.d.Cluster.PackKey(o.ID))
		if err != nil {
			return "", err
		}
		if it == nil { // it had one before it was written
			state, err := l.writer(ctx, o.Info.Key)
			if err != nil || state != records.Drained {
				return "", err
			}
			return "", l.suspectPlain(ctx, o)
		}
		p, err := records.DecodePack(it)
		if err != nil {
			return "", l.excuse(fmt.Errorf("item of pack %s: %w", o.ID, err))
		}
		s, _, err := l.session(ctx, p.Session)
		if err == nil && s.State == records.Drained && len(all) < maxIdlePacks {
			all[o.ID] = idle{o, p}
		}
		return "", err
	})
	if err != nil {
		return err
	}
	return l.idle(ctx, all)
}

// ownPacks looks for packs of this session that nobody needs, unless it has handed over slots that their leaders may not have opened yet:
// from a snapshot before the newest one, perhaps.
func (l *look) ownPacks(ctx context.Context) error {
	if l.d.Own == nil {
		return nil
	}
	old := l.d.Own.OldPacks() // before the pins are read: who is handed a slot later opens from what says it all
	if len(old) == 0 {
		return nil
	}
	it, err := l.item(ctx, l.d.Cluster.PinsKey(l.d.Session))
	if err != nil {
		return err
	}
	if it != nil {
		pins, err := records.DecodePins(it)
		if err != nil || len(pins.Slots) > 0 {
			return err
		}
	}
	all := map[uuid.UUID]idle{}
	for _, id := range old {
		it, err := l.item(ctx, l.d.Cluster.PackKey(id))
		if err != nil {
			return err
		}
		if it == nil {
			l.d.Own.ForgetPack(id)
			continue
		}
		p, err := records.DecodePack(it)
		if err != nil {
			if err := l.excuse(fmt.Errorf("item of pack %s: %w", id, err)); err != nil {
				return err
			}
			continue
		}
		o := found{objstore.Info{Key: l.d.Keys.Pack(id), Size: p.Bytes}, objstore.Parsed{ID: id}}
		all[id] = idle{o, p}
	}
	return l.idle(ctx, all)
}

// idle judges packs that nobody names but by snapshots, if at all.
func (l *look) idle(ctx context.Context, all map[uuid.UUID]idle) error {
	if len(all) == 0 {
		return nil
	}
	if err := l.strike(ctx, all); err != nil {
		return err
	}
	for _, p := range all {
		if l.suspect(p.Info) {
			if err := l.dropPack(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxSnapshots bounds how many snapshots a look at packs goes through.
const maxSnapshots = 50_000

// strike takes out of all the packs with a run that some snapshot names and that is not linked. What is there is listed before anything is
// read, which may take hours: whoever knew of such a run at that time had said so in a snapshot, of packs of others in the one of its opening,
// which stays until its session is DRAINED.
func (l *look) strike(ctx context.Context, all map[uuid.UUID]idle) error {
	var listed []found
	err := l.walk(ctx, objstore.KindSnapshot, func(_ context.Context, o found) (string, error) {
		if len(listed) == maxSnapshots {
			return "", fmt.Errorf("more than %d snapshots: packs are not looked at", maxSnapshots)
		}
		listed = append(listed, o)
		return "", nil
	})
	for i := 0; i < len(listed) && err == nil && len(all) > 0; i++ {
		err = l.strikeBy(ctx, listed[i], all)
	}
	return err
}

// maxReplaced is how often a look runs after the snapshots of a session that replaces them.
const maxReplaced = 8

// strikeBy strikes what a snapshot names, or those that have replaced it, if it went since it was listed. If none has, its session may have been
// needed when it was listed, and what others know from it now, nobody has told this look: then no pack is idle.
func (l *look) strikeBy(ctx context.Context, o found, all map[uuid.UUID]idle) error {
	keys := []string{o.Info.Key}
	for range maxReplaced {
		gone := ""
		for _, key := range keys {
			there, err := l.strikeOne(ctx, key, all)
			if err != nil {
				return err
			}
			if !there {
				gone = key
			}
		}
		if gone == "" {
			return nil
		}
		var err error
		if keys, err = l.newer(ctx, o.Session, gone); err != nil {
			return err
		}
		if len(keys) == 0 && l.sessions[o.Session].State == records.Drained { // read before the listing
			return nil
		}
		if len(keys) == 0 || len(keys) == objstore.MaxList {
			break
		}
	}
	clear(all)
	return nil
}

// newer lists the snapshots of a session after one that is gone.
func (l *look) newer(ctx context.Context, session uuid.UUID, gone string) ([]string, error) {
	var infos []objstore.Info
	err := l.ask(ctx, func(ctx context.Context) (err error) {
		infos, err = l.d.Objects.List(ctx, l.d.Keys.SnapshotPrefix(session), gone, objstore.MaxList)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	l.fresh = false
	keys := make([]string, len(infos))
	for i := range infos {
		keys[i] = infos[i].Key
	}
	return keys, nil
}

// strikeOne strikes what one snapshot names, and reports whether it is there.
func (l *look) strikeOne(ctx context.Context, key string, all map[uuid.UUID]idle) (there bool, err error) {
	var got objstore.Object
	err = l.ask(ctx, func(ctx context.Context) (err error) {
		got, err = l.d.Objects.Get(ctx, key, objstore.Range{})
		return err
	})
	if errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read snapshot: %w", err)
	}
	f, kind, err := bundle.ParseTail(got.Body, got.Size)
	if err != nil || kind != bundle.SNAP || len(f.Refs) != len(f.Runs) {
		return false, fmt.Errorf("snapshot %s is damaged, and may name packs: %w", key, errors.Join(bundle.ErrCorrupt, err))
	}
	return true, l.strikeRuns(ctx, f, all)
}

func (l *look) strikeRuns(ctx context.Context, f *bundle.Footer, all map[uuid.UUID]idle) error {
	for i := range f.Runs {
		if f.Refs[i].Object == bundle.Here {
			continue
		}
		o, r := f.Objects[f.Refs[i].Object], &f.Runs[i]
		if _, asked := all[o.Session]; !asked || o.Kind != bundle.PACK {
			continue
		}
		name := Name{f.Topics[r.Topic].ID, r.Partition}
		alive, err := l.alive(ctx, name.Topic)
		if err != nil {
			return err
		}
		if !alive {
			continue
		}
		tiered, err := l.tiered(ctx, name)
		if bad := l.excuse(err); bad != nil {
			return bad
		}
		if err != nil || r.Next > tiered {
			delete(all, o.Session)
		}
	}
	return nil
}

// dropPack removes the item of an orphan and queues its object.
func (l *look) dropPack(ctx context.Context, p idle) error {
	g := records.Garbage{ID: uuid.New(), Keys: []string{p.Info.Key}, Bytes: p.Size, NotBefore: time.Now().UnixMilli()}
	ops := []metastore.Op{{
		Kind: metastore.OpDelete, Key: l.d.Cluster.PackKey(p.ID), If: []metastore.Cond{
			{Attr: records.AttrLive, Cmp: metastore.Eq, Value: metastore.N(p.item.Live)},
			{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: records.IDValue(p.item.Nonce)},
		},
	}, {Kind: metastore.OpPut, Key: l.d.Cluster.GarbageKey(g), Set: g.Item()}}
	err := l.ask(ctx, func(ctx context.Context) error { return l.d.Facts.Transact(ctx, ops) })
	switch {
	case errors.Is(err, metastore.ErrCondition): // somebody counts, or a try of ours was applied
		return nil
	case err != nil:
		return fmt.Errorf("remove pack %s: %w", p.ID, err)
	}
	l.count(1, p.Size)
	l.rests(g.Keys)
	return nil
}
