package segment

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// found is a line of a listing, and what its key says.
type found struct {
	objstore.Info
	objstore.Parsed
}

// pages lists the objects of a kind, page by page. each may return a key up to which nothing is to be looked at.
func (l *look) pages(ctx context.Context, kind string, each func(ctx context.Context, page []found) (past string, err error)) error {
	prefix := l.d.Keys.Root() + kind + "/"
	for after := ""; ; {
		var infos []objstore.Info
		err := l.ask(ctx, func(ctx context.Context) (err error) {
			infos, err = l.d.Objects.List(ctx, prefix, after, objstore.MaxList)
			return err
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		l.fresh = false
		var page []found
		for _, info := range infos {
			if k, err := l.d.Keys.Parse(info.Key); err == nil && k.Kind == kind { // what is no key of ours is nobody's to delete
				page = append(page, found{info, k})
			}
		}
		past, err := each(ctx, page)
		if err != nil {
			return err
		}
		if len(infos) < objstore.MaxList {
			return nil
		}
		after = max(past, infos[len(infos)-1].Key)
	}
}

// walk is pages one by one.
func (l *look) walk(ctx context.Context, kind string, each func(ctx context.Context, o found) (past string, err error)) error {
	return l.pages(ctx, kind, func(ctx context.Context, page []found) (past string, err error) {
		for _, o := range page {
			if o.Info.Key <= past {
				continue
			}
			if past, err = each(ctx, o); err != nil {
				return "", err
			}
		}
		return past, nil
	})
}

// behind is a key behind all that start with a prefix.
func behind(prefix string) string { return prefix + "\U0010ffff" }

// item reads an item as it is now; nil if there is none.
func (l *look) item(ctx context.Context, key metastore.Key) (it metastore.Item, err error) {
	err = l.ask(ctx, func(ctx context.Context) (err error) {
		it, err = metastore.Find(ctx, l.d.Facts, key)
		return err
	})
	return it, err
}

// session returns a session as it was at some time of this look; false if the table knows none, what it knows does not decode, or a rebuild
// of the table made it up: whether bundles after its last snapshot were committed, and what else was lost, nobody knows then but people.
func (l *look) session(ctx context.Context, id uuid.UUID) (records.Session, bool, error) {
	if s, ok := l.sessions[id]; ok {
		return s, true, nil
	}
	it, err := l.item(ctx, l.d.Cluster.SessionKey(id))
	if err != nil || it == nil {
		return records.Session{}, false, err
	}
	s, err := records.DecodeSession(it)
	if err != nil || s.NodeID == 0 {
		return records.Session{}, false, nil
	}
	s.Pending = nil
	l.sessions[id] = s
	return s, true, nil
}

// writer returns the state of the session that wrote an object; empty if the object is gone, or not of this cluster, or of a session that
// the table does not know: then nobody knows anything of it.
func (l *look) writer(ctx context.Context, key string) (records.State, error) {
	var got objstore.Object
	err := l.ask(ctx, func(ctx context.Context) (err error) {
		got, err = l.d.Objects.Get(ctx, key, objstore.Exact(0, bundle.HeaderLen))
		return err
	})
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the header of %s: %w", key, err)
	}
	h, err := bundle.ParseHeader(got.Body)
	if err != nil || h.Cluster != l.d.ClusterID {
		return "", nil
	}
	s, _, err := l.session(ctx, h.Session)
	return s.State, err
}

// alive reports whether a topic was there at some time after its object was listed, or before in this look. A topic's item is there before
// its first object, and none comes back.
func (l *look) alive(ctx context.Context, topic uuid.UUID) (bool, error) {
	if l.topics[topic] || l.fresh {
		return l.topics[topic] || l.veiled, nil
	}
	q := metastore.Query{PK: l.d.Cluster.TopicsPK(), Consistency: metastore.Consistent}
	for {
		page, err := l.query(ctx, q)
		if err != nil {
			return false, err
		}
		for _, row := range page.Rows {
			t, err := records.DecodeTopic(row.Item)
			if err != nil {
				l.veiled = true
				if err := l.excuse(fmt.Errorf("topic item %s: %w", row.SK, err)); err != nil {
					return false, err
				}
				continue
			}
			l.topics[t.ID] = true
		}
		if q.After = page.Next; q.After == "" {
			l.fresh = true
			return l.topics[topic] || l.veiled, nil
		}
	}
}

func (l *look) query(ctx context.Context, q metastore.Query) (page metastore.Page, err error) {
	err = l.ask(ctx, func(ctx context.Context) (err error) {
		page, err = l.d.Facts.Query(ctx, q)
		return err
	})
	if err != nil {
		return page, fmt.Errorf("query %s: %w", q.PK, err)
	}
	return page, nil
}

// tiered returns up to where a partition's extents reached at some time of this look; 0 if it has no item.
func (l *look) tiered(ctx context.Context, n Name) (int64, error) {
	if at, ok := l.reach[n]; ok {
		return at, nil
	}
	it, err := l.item(ctx, l.d.Cluster.PartitionKey(n.Topic, n.Index))
	if err != nil {
		return 0, err
	}
	at := int64(0)
	if it != nil {
		p, err := records.DecodePartition(it)
		if err != nil {
			return 0, fmt.Errorf("partition %s-%d: %w", n.Topic, n.Index, err)
		}
		at = p.Tiered
	}
	if len(l.reach) >= maxReaches {
		clear(l.reach)
	}
	l.reach[n] = at
	return at, nil
}
