package group

import (
	"context"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Config of a Coordinator. All must be set.
type Config struct {
	Cluster records.Cluster
	Slots   int // of the cluster
	Bounds  Bounds
	// Consumer is what holds for groups of the newer protocol, but for what is set of a group; Adjust applies that.
	Consumer  ConsumerBounds
	Adjust    func(configs map[string]string, b ConsumerBounds) ConsumerBounds
	Migration Migration
	// Topics returns the topics as this agent knows them, or, unless now, as it knew them a moment ago. The same topics are the same
	// catalogue. It does not block.
	Topics func(now bool) *Catalogue
	// Retention is how long the offsets of a group without members are kept, and those of topics that no member reads
	// (offsets.retention.minutes); Check is the pause between searches for those that expired.
	Retention time.Duration
	Check     time.Duration
}

// Coordinator is the groups of the slots that this agent leads. All methods may be called from many goroutines; those that take a
// done call it once, from any goroutine, also before they return, and never block on a store.
type Coordinator struct {
	cfg   Config
	facts metastore.Store
	log   *slog.Logger
	wg    sync.WaitGroup
	life  context.Context // ends with Stop
	over  context.CancelFunc

	configs   atomic.Pointer[map[string]map[string]string] // of groups of which something is set; nil: not read yet; changed under mu
	configsAt atomic.Int64                                 // when they were read, ns since 1970

	mu struct {
		sync.Mutex
		slots   map[uint16]int32 // led and open, with their epochs
		groups  map[string]*actor
		resting resting
		dropped map[uuid.UUID]bool // topics that were deleted, until groups that are not in memory have forgotten them
		closed  bool
		// sweeping: expireOffsets runs.
		sweeping bool
	}
}

// New returns a Coordinator that leads nothing.
func New(cfg Config, facts metastore.Store, log *slog.Logger) *Coordinator {
	c := &Coordinator{cfg: cfg, facts: facts, log: log}
	c.life, c.over = context.WithCancel(context.Background())
	c.mu.slots, c.mu.groups, c.mu.resting.groups = map[uint16]int32{}, map[string]*actor{}, map[string]Progress{}
	c.mu.dropped = map[uuid.UUID]bool{}
	return c
}

// Slot is the slot whose leader coordinates a group: FNV-1a of its name modulo the slots. It is a format: a group's items are
// found by it.
func Slot(group string, slots int) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(group))
	return uint16(h.Sum32() % uint32(max(slots, 1)))
}

// Lead coordinates the groups of slots from now on, each under the epoch that this agent leads it with.
func (c *Coordinator) Lead(epochs map[uint16]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	if len(c.mu.slots) == 0 && !c.mu.sweeping {
		c.mu.sweeping = true
		c.wg.Go(c.expireOffsets)
	}
	for slot, epoch := range epochs {
		c.mu.slots[slot] = epoch
	}
	c.wg.Go(func() {
		for slot := range epochs {
			c.wake(slot)
		}
	})
}

// Lose gives up the groups of a slot that another agent leads now. Whoever waits is told to look for it.
func (c *Coordinator) Lose(slot uint16, epoch int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.slots[slot] <= epoch {
		delete(c.mu.slots, slot)
	}
	c.dropLocked(func(a *actor) bool { return a.store.slot == slot && a.store.epoch <= epoch })
	for group := range c.mu.resting.groups {
		if Slot(group, c.cfg.Slots) == slot {
			c.mu.resting.drop(group)
		}
	}
}

// dropLocked stops actors. They are not waited for.
func (c *Coordinator) dropLocked(which func(*actor) bool) {
	for name, a := range c.mu.groups {
		if which(a) {
			delete(c.mu.groups, name)
			a.stop(ErrNotCoordinator)
		}
	}
}

// Leads reports whether the groups of a slot are coordinated here.
func (c *Coordinator) Leads(slot uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, led := c.mu.slots[slot]
	return led
}

// Stop gives up all groups, for good, and returns at once. Every request is told to look for another agent from now on.
func (c *Coordinator) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.closed = true
	c.over()
	c.mu.slots, c.mu.resting = map[uint16]int32{}, resting{groups: map[string]Progress{}}
	c.dropLocked(func(*actor) bool { return true })
}

// Close is Stop, and waits until everybody has been answered.
func (c *Coordinator) Close() {
	c.Stop()
	c.wg.Wait()
}

// send gives a request to the group's actor, which it starts if need be.
func (c *Coordinator) send(group string, m message) {
	if !validName(group) {
		m.fail(ErrGroupID)
		return
	}
	slot := Slot(group, c.cfg.Slots)
	c.mu.Lock()
	epoch, led := c.mu.slots[slot]
	if !led {
		c.mu.Unlock()
		m.fail(ErrNotCoordinator)
		return
	}
	a := c.mu.groups[group]
	if a == nil {
		a = c.startLocked(group, slot, epoch)
	}
	taken := a.put(m)
	c.mu.Unlock()
	if !taken {
		m.fail(ErrLoading)
	}
}

// maxName is the longest name of a group, in bytes: escaped it still is a sort key.
const maxName = 300

func validName(group string) bool { return len(group) <= maxName }

func (c *Coordinator) startLocked(group string, slot uint16, epoch int32) *actor {
	a := &actor{
		c: c, name: group, kick: make(chan struct{}, 1), touched: time.Now(),
		store: &store{facts: c.facts, cluster: c.cfg.Cluster, slot: slot, group: group, epoch: epoch},
	}
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	c.mu.groups[group] = a
	c.mu.resting.drop(group)
	c.wg.Go(a.run)
	return a
}

// retire takes an idle actor off the list, unless something waits for it.
func (c *Coordinator) retire(a *actor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.mu.queue) > 0 {
		return false
	}
	if _, led := c.mu.slots[a.store.slot]; led && a.loaded {
		c.mu.resting.put(a.progress())
	}
	c.forgetLocked(a)
	return true
}

// forget takes an actor off the list: nothing is put to it any more.
func (c *Coordinator) forget(a *actor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(a)
}

func (c *Coordinator) forgetLocked(a *actor) {
	if c.mu.groups[a.name] == a {
		delete(c.mu.groups, a.name)
	}
}
