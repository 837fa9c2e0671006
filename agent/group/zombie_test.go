package group

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// gate holds up reads of a group's pages while it is shut.
type gate struct {
	metastore.Store
	shut atomic.Pointer[chan struct{}]
}

func (g *gate) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	if open := g.shut.Load(); open != nil && q.PK == records.Cluster("c").GroupPagesPK(Slot("g", testSlots), "g") {
		<-*open
	}
	return g.Store.Query(ctx, q)
}

// TestZombieSweepsNothing: a coordinator stands still between its claim, or its mark of a deletion, and its look at the group's pages, and is
// replaced meanwhile: pages of members that its successor wrote are not its to delete.
func TestZombieSweepsNothing(t *testing.T) {
	for name, late := range map[string]func(old *leader){
		"load":   func(old *leader) { _, _ = old.fetch(part(0)) },
		"remove": func(old *leader) { _ = old.delete() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				facts := mem.New()
				slow := &gate{Store: facts}
				old := lead(t, slow, 3)
				defer old.Close()
				old.mustCommit(part(0), 5)
				if name == "load" {
					time.Sleep(2 * idleTime) // it has forgotten the group
				}
				open := make(chan struct{})
				slow.shut.Store(&open)
				over := make(chan struct{})
				go func() { defer close(over); late(old) }()
				synctest.Wait()
				now := lead(t, facts, 4)
				defer now.Close()
				a := now.join(Join{Protocols: []Protocol{{"range", make([]byte, 2*inlineMembers)}}})
				if s := now.sync(Sync{Member: a.Member, Generation: a.Generation}); a.Err != nil || s.Err != nil {
					t.Error(a.Err, s.Err)
				}
				close(open)
				<-over
				next := lead(t, facts, 5)
				defer next.Close()
				if err := next.beat(a.Member, a.Generation); err != nil {
					t.Errorf("the member at the third coordinator: %v", err)
				}
			})
		})
	}
}
