package topic

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// The bounds of a Catalog.
const (
	maxNegatives = 10_000          // names remembered as unknown
	negativeTime = time.Second     // how long
	maxDead      = 8192            // ids of removed topics that are remembered against reads that come late
	maxItem      = 380 << 10       // bytes of a topic item; the rest to metastore.MaxItem is for the key and for later attributes
	maxBatch     = 2 << 20         // bytes of a transaction, half of what DynamoDB takes
	maxTries     = 12              // of a transaction that meets others, or whose outcome is unknown
	storeTimeout = 5 * time.Second // of a read that several callers share
	parallelGets = 16              // item reads at once when catching up
	maxReads     = 6               // tries of a read that the store was too busy for
	reloadAbove  = 1000            // names changed at once above which reading all topics is cheaper
)

// Options of a Catalog.
type Options struct {
	Cluster  records.Cluster
	Slots    int           // of the cluster
	Poll     time.Duration // how often changes by other agents are looked for; above 0
	Told     bool          // Poke is called when the topic version rises: Poll is then a second belt
	Settings *Settings
	// OnDelete is called with each topic that is gone from the catalogue, without a lock held. It must not block. May be nil.
	OnDelete func(id uuid.UUID)
	// Session is this agent's, which leads slots; Nil: this process leads none and confirms no deletion.
	Session uuid.UUID
	// Grace is how long what a deleted topic has in segments stays; 0: readers get no time. An agent gives it the grace of all garbage.
	Grace time.Duration
	// Announce tells the other agents that topics changed, so that they need not wait for their poll. It must not block.
	// May be nil.
	Announce func()
}

// Catalog is the topics of a cluster as this agent knows them. All methods may be called from many goroutines, after Load.
type Catalog struct {
	store metastore.Store
	log   *slog.Logger
	o     Options

	names *table[string]
	ids   *table[uuid.UUID]
	list  atomic.Pointer[listing]
	finds singleflight.Group
	turn  chan struct{} // holds one token: the right to write
	poke  chan struct{} // to Run; holds one

	mu struct {
		sync.Mutex
		clock      int64 // steps at every change of the tables; orders reads against changes
		seen       int64 // topic version up to which the tables have every change
		newest     int64 // highest topic version heard of
		partitions int64 // of all topics
		collapsed  map[string]int
		dead       map[uuid.UUID]struct{}
		deadOrder  []uuid.UUID          // ring, oldest at deadNext once full
		deadNext   int                  // next place in the ring
		deleting   map[string]uuid.UUID // seen DELETING: somebody has to finish
		left       map[uuid.UUID]bool   // those of deleting that this agent has dropped; true: and said so
		unreadable map[string]struct{}  // names whose items do not decode
		unknown    map[string]time.Time // until when
		swept      time.Time            // when unknown was swept last
	}
	changes atomic.Int64 // counts changes of the tables
}

type listing struct {
	changes int64
	topics  []*Topic
}

// New returns an empty catalogue. Call Load before anything else, and Run beside.
func New(store metastore.Store, log *slog.Logger, o Options) *Catalog {
	c := &Catalog{
		store: store, log: log, o: o,
		names: newTable[string](), ids: newTable[uuid.UUID](), turn: make(chan struct{}, 1),
		poke: make(chan struct{}, 1),
	}
	c.turn <- struct{}{}
	c.mu.collapsed = map[string]int{}
	c.mu.dead = map[uuid.UUID]struct{}{}
	c.mu.deleting = map[string]uuid.UUID{}
	c.mu.left = map[uuid.UUID]bool{}
	c.mu.unreadable = map[string]struct{}{}
	c.mu.unknown = map[string]time.Time{}
	return c
}

// Settings returns the broker configs.
func (c *Catalog) Settings() *Settings { return c.o.Settings }

// Lookup returns a topic from memory, nil if it is not known here. It never blocks.
func (c *Catalog) Lookup(name string) *Topic {
	if e := c.names.get(name); e != nil {
		return e.topic
	}
	return nil
}

// LookupID is Lookup by id.
func (c *Catalog) LookupID(id uuid.UUID) *Topic {
	if e := c.ids.get(id); e != nil {
		return e.topic
	}
	return nil
}

// List returns the topics known here, sorted by name. The slice must not be changed.
func (c *Catalog) List() []*Topic {
	n := c.changes.Load() // before the tables are read: a change meanwhile makes this listing old, never wrong for good
	if l := c.list.Load(); l != nil && l.changes == n {
		return l.topics
	}
	l := &listing{changes: n}
	c.names.all(func(e *entry) { l.topics = append(l.topics, e.topic) })
	slices.SortFunc(l.topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	c.list.Store(l)
	return l.topics
}

// Changes returns a number that rises with every change of what Lookup, LookupID and List say. What is read after it was
// taken is at least as new.
func (c *Catalog) Changes() int64 { return c.changes.Load() }

// now returns the moment on the tables' clock, to be taken before a read of the store whose answer goes to forget.
func (c *Catalog) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.clock
}

// learn takes in a topic item as a consistent read or a write of ours showed it, unless a newer one is known.
func (c *Catalog) learn(r records.Topic) {
	if r.State == records.TopicDeleting {
		c.gone(r.Name, r.ID, true)
		return
	}
	t := fromRecord(r, c.o.Settings)
	c.mu.Lock()
	_, unread := c.mu.unreadable[r.Name]
	delete(c.mu.unreadable, r.Name)
	c.mu.newest = max(c.mu.newest, r.V)
	old := c.names.get(r.Name)
	_, dead := c.mu.dead[r.ID]
	// What is unknown here though all changes up to its version are is removed: the answer that shows it is older than that.
	removed := old == nil && r.V <= c.mu.seen && !unread
	if dead || removed || old != nil && old.topic.V >= r.V {
		c.mu.Unlock()
		return
	}
	replaced := uuid.Nil
	switch {
	case old == nil:
		c.mu.collapsed[collapsed(r.Name)]++
	case old.topic.ID == r.ID:
		c.mu.partitions -= int64(old.topic.Partitions())
	default:
		replaced = old.topic.ID
		c.removeLocked(old.topic)
		c.mu.collapsed[collapsed(r.Name)]++
	}
	c.mu.partitions += int64(t.Partitions())
	delete(c.mu.unknown, r.Name)
	delete(c.mu.left, c.mu.deleting[r.Name])
	delete(c.mu.deleting, r.Name)
	c.mu.clock++
	e := &entry{topic: t, learned: c.mu.clock}
	c.ids.put(t.ID, e)
	c.names.put(t.Name, e)
	c.changes.Add(1)
	c.mu.Unlock()
	if replaced != uuid.Nil {
		c.dropped(replaced)
	}
}

// gone takes in that the topic id is DELETING (pending) or removed.
func (c *Catalog) gone(name string, id uuid.UUID, pending bool) {
	c.mu.Lock()
	delete(c.mu.unreadable, name)
	if pending {
		c.mu.deleting[name] = id
	} else {
		delete(c.mu.left, id)
		if c.mu.deleting[name] == id {
			delete(c.mu.deleting, name)
		}
	}
	_, known := c.mu.dead[id]
	if e := c.ids.get(id); e != nil {
		c.removeLocked(e.topic)
	} else {
		c.buryLocked(id)
	}
	c.mu.Unlock()
	if !known {
		c.dropIn(id, pending)
	}
}

// forget takes in that a consistent read that began at moment asked found no item of name.
func (c *Catalog) forget(name string, asked int64) {
	c.mu.Lock()
	delete(c.mu.left, c.mu.deleting[name])
	delete(c.mu.deleting, name)
	delete(c.mu.unreadable, name)
	e := c.names.get(name)
	if e == nil || e.learned > asked {
		c.mu.Unlock()
		return
	}
	c.removeLocked(e.topic)
	c.mu.Unlock()
	c.dropped(e.topic.ID)
}

// unreadable notes that the item of name does not decode: nothing may be concluded from it, not even that the topic it
// was is gone. What was known of it stays.
func (c *Catalog) unreadable(name string, err error) {
	c.mu.Lock()
	_, known := c.mu.unreadable[name]
	c.mu.unreadable[name] = struct{}{}
	c.mu.Unlock()
	if !known {
		c.log.Error("topic item does not decode; somebody must look at the table", "topic", name, "err", err)
	}
}

// whole returns an error if there are items that nothing is known of.
func (c *Catalog) whole() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.mu.unreadable {
		return fmt.Errorf("%w: %d topic items do not decode, among them %.260q: %w", ErrUnavailable, len(c.mu.unreadable), name, records.ErrBadItem)
	}
	return nil
}

func (c *Catalog) removeLocked(t *Topic) {
	c.mu.clock++
	c.mu.partitions -= int64(t.Partitions())
	if k := collapsed(t.Name); c.mu.collapsed[k] > 1 {
		c.mu.collapsed[k]--
	} else {
		delete(c.mu.collapsed, k)
	}
	c.ids.put(t.ID, nil)
	if e := c.names.get(t.Name); e != nil && e.topic.ID == t.ID {
		c.names.put(t.Name, nil)
	}
	c.changes.Add(1)
	c.buryLocked(t.ID)
}

// buryLocked remembers a removed id, so that an answer that left the store before the removal does not bring it back. Ids
// are never used again, so remembering is never wrong.
func (c *Catalog) buryLocked(id uuid.UUID) {
	if _, there := c.mu.dead[id]; there {
		return
	}
	c.mu.dead[id] = struct{}{}
	if len(c.mu.deadOrder) < maxDead {
		c.mu.deadOrder = append(c.mu.deadOrder, id)
		return
	}
	delete(c.mu.dead, c.mu.deadOrder[c.mu.deadNext])
	c.mu.deadOrder[c.mu.deadNext] = id
	c.mu.deadNext = (c.mu.deadNext + 1) % maxDead
}

func (c *Catalog) dropped(id uuid.UUID) {
	if c.o.OnDelete != nil {
		c.o.OnDelete(id)
	}
}

// acquire takes the turn to write. It must be followed by release unless it returns an error, that of ctx.
func (c *Catalog) acquire(ctx context.Context) error {
	select {
	case <-c.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Catalog) release() { c.turn <- struct{}{} }
