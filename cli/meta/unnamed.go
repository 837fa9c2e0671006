package meta

import (
	"context"
	"errors"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// unnamed judges an object that nothing names: an orphan, if whoever wrote it has ended and nobody can name it any more. What could
// still be committed or linked is none, and one that is queued for deletion is as it should be. linkable: a link may come as long as the slots
// of its writer have no other leaders, which is sure once the session is DRAINED.
func (l *look) unnamed(ctx context.Context, key string, linkable bool) error {
	if _, queued := l.queued[key]; queued || l.blind {
		return nil
	}
	o, err := l.get(ctx, key, objstore.Exact(0, bundle.HeaderLen))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil // it was deleted meanwhile
	}
	if err != nil && !errors.Is(err, objstore.ErrRange) {
		return err
	}
	h, err := bundle.ParseHeader(o.Body)
	if err != nil {
		l.hint(Foreign, key, "nothing names it; look at it, and move it elsewhere with the store's own tools", "%v", err)
		return nil
	}
	if h.Cluster != l.config.Cluster {
		l.hint(Foreign, key, "the bucket holds objects of another cluster of this name: use another --cluster", "its cluster is %s, the table's %s", h.Cluster, l.config.Cluster)
		return nil
	}
	s, err := l.sessionOf(ctx, h.Session, key)
	if err != nil || !s.ended() || linkable && s.item.State != records.Drained {
		return err
	}
	l.sweep(Orphan, key, "nothing names it, and its writer has ended (session %s, %s)", s.id, s.item.State)
	return nil
}
