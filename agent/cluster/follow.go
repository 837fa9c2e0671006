package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/varvelog/varve/metastore"
)

// Bounds of Follow.
const (
	followTime = 800 * time.Millisecond
	followLook = 15 * time.Millisecond
)

// Follow shows in View who leads this session's slots next, after Leave: clients that still ask this agent are told. It returns once
// every slot has another leader, or there is nobody to lead them, or it takes too long.
func (m *Member) Follow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(metastore.WithPurpose(ctx, metastore.PurposeSlot), followTime)
	defer cancel()
	known := int64(-1)
	for {
		v, err := getVersion(ctx, m.facts, m.cfg.Cluster, metastore.Consistent)
		if err == nil && v.Map > known {
			if a := readMap(ctx, m.facts, m.cfg.Cluster, ReadMap{}); a.Err == nil {
				known = a.Version.Map
				over := m.shell.core.follow(time.Now(), a)
				m.view.Store(m.shell.core.view)
				if over {
					return
				}
			}
		}
		if !sleep(ctx, followLook) {
			return
		}
	}
}

// follow takes in a map after the session has ended, and reports whether there is nothing more to wait for.
func (c *Core) follow(now time.Time, a Answer) (over bool) {
	c.now, c.next, c.out = now, time.Time{}, nil
	c.mapRead(a)
	c.publish()
	c.out = nil
	heirs := slices.ContainsFunc(c.view.Nodes, func(n Node) bool { return n.Session != c.cfg.Session })
	left := slices.ContainsFunc(c.view.Slots, func(l Leader) bool { return l.Session == c.cfg.Session })
	return !left || !heirs
}
