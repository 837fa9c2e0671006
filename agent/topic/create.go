package topic

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Spec describes a topic to create.
type Spec struct {
	Name         string
	Partitions   int32              // -1: num.partitions
	Configs      map[string]*string // nil value: the default
	ValidateOnly bool               // check all, write nothing
}

// Created is what became of a Spec.
type Created struct {
	Topic *Topic // nil if Err is set
	Err   error  // ErrName, ErrPartitions, ErrConfig, ErrExists, ErrUnavailable
}

// Create makes a topic. Errors: ErrName, ErrPartitions, ErrConfig, ErrExists, ErrUnavailable.
func (c *Catalog) Create(ctx context.Context, spec Spec) (*Topic, error) {
	r := c.CreateAll(ctx, []Spec{spec})[0]
	return r.Topic, r.Err
}

// CreateAll makes topics, as many as possible with one transaction, and returns for each what became of it. Names must
// differ.
func (c *Catalog) CreateAll(ctx context.Context, specs []Spec) []Created {
	out := make([]Created, len(specs))
	var todo []int
	planned := make([]records.Topic, len(specs))
	var total int64
	taken := c.taken(ctx, specs)
	for i, spec := range specs {
		r, err := records.Topic{}, taken[i]
		if err == nil {
			r, err = c.plan(spec, total)
		}
		planned[i], out[i].Err = r, err
		if err != nil {
			continue
		}
		total += int64(len(r.Slots))
		if spec.ValidateOnly {
			out[i].Topic = fromRecord(r, c.o.Settings)
		} else {
			todo = append(todo, i)
		}
	}
	for round := 0; len(todo) > 0 && round < 3; round++ { // again only for names whose old topic was still being removed
		todo = c.createRound(ctx, planned, out, todo)
	}
	for _, i := range todo {
		out[i].Err = fmt.Errorf("%w: the old topic of that name is still being removed", ErrUnavailable)
	}
	return out
}

// createRound tries to make the planned topics of todo, and returns those worth another try.
func (c *Catalog) createRound(ctx context.Context, planned []records.Topic, out []Created, todo []int) (again []int) {
	changes := make([]*change, len(todo))
	for n, i := range todo {
		changes[n] = c.putting(planned[i])
	}
	at := 0
	for _, batch := range batches(changes) {
		err := c.commit(ctx, batch)
		for n, ch := range batch {
			i := todo[at+n]
			switch {
			case ch.v > 0:
				r := planned[i]
				r.V = ch.v
				out[i].Topic = c.made(r)
			case ch.failed:
				if out[i].Err = c.occupied(ctx, ch); out[i].Err == nil {
					again = append(again, i)
				}
			default:
				out[i].Err = err
			}
		}
		at += len(batch)
		c.settled(batch)
	}
	return again
}

// made takes in a topic that was just created.
func (c *Catalog) made(r records.Topic) *Topic {
	c.learn(r)
	c.mu.Lock()
	twins := c.mu.collapsed[collapsed(r.Name)]
	c.mu.Unlock()
	if twins > 1 {
		c.log.Warn("topic names differ only in '.' and '_', which Kafka's metrics take for the same", "topic", r.Name)
	}
	return fromRecord(r, c.o.Settings)
}

// occupied says why a topic could not be created: nil if it was in the way of a removal that is over now.
func (c *Catalog) occupied(ctx context.Context, ch *change) error {
	old, err := records.DecodeTopic(ch.old)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	c.learn(old)
	if old.State != records.TopicDeleting {
		return exists(old.Name)
	}
	free, err := c.free(ctx, map[string]uuid.UUID{old.Name: old.ID})
	if err == nil && len(free) == 0 {
		err = fmt.Errorf("%w; it is marked for deletion, and some leaders have not dropped it yet", exists(old.Name))
	}
	if err != nil {
		return err
	}
	return c.finish(ctx, free)
}

func exists(name string) error { return fmt.Errorf("%w: %q", ErrExists, name) }

// taken returns for each spec ErrExists if a consistent read shows a topic of its name. It reads only for names that are
// known, and those that nothing will be written for: of all others the transaction finds out.
func (c *Catalog) taken(ctx context.Context, specs []Spec) []error {
	out := make([]error, len(specs))
	var g errgroup.Group
	g.SetLimit(parallelGets)
	for i, spec := range specs {
		if !spec.ValidateOnly && c.Lookup(spec.Name) == nil {
			continue
		}
		g.Go(func() error {
			t, err := c.refresh(ctx, spec.Name)
			if out[i] = err; t != nil {
				out[i] = exists(spec.Name)
			}
			return nil
		})
	}
	_ = g.Wait()
	return out
}

// plan checks spec and works out its item. more is the partitions of topics that are planned besides.
func (c *Catalog) plan(spec Spec, more int64) (records.Topic, error) {
	if err := CheckName(spec.Name); err != nil {
		return records.Topic{}, err
	}
	n := spec.Partitions
	if n == -1 {
		n = c.o.Settings.NumPartitions()
	}
	if err := c.roomFor(0, n, more); err != nil {
		return records.Topic{}, err
	}
	changes := make([]Change, 0, len(spec.Configs))
	for name, v := range spec.Configs {
		changes = append(changes, Change{Name: name, Op: OpSet, Value: v})
	}
	configs, err := c.o.Settings.alter(nil, changes)
	if err != nil {
		return records.Topic{}, err
	}
	r := records.Topic{
		Name: spec.Name, ID: newID(), Configs: configs, State: records.TopicActive, Created: time.Now().UnixMilli(),
	}
	r.Slots = assign(r.ID, nil, int(n), c.o.Slots)
	return r, checkSize(r)
}

// newID returns a random id whose text form does not begin with '-', which tools take for an option.
func newID() uuid.UUID {
	for {
		if id := uuid.New(); id[0] < 0xf8 { // 0xf8 >> 2 is the '-' of URL-safe base64
			return id
		}
	}
}

// assign returns slots for n partitions of topic id, of which have are given. Neighbours lie in neighbouring slots, which
// belong to different agents, and topics begin at different ones.
func assign(id uuid.UUID, have []uint16, n, slots int) []uint16 {
	h := fnv.New64a()
	h.Write(id[:])
	first := binary.BigEndian.Uint64(h.Sum(nil)) % uint64(slots)
	out := append(make([]uint16, 0, n), have...)
	for i := len(have); i < n; i++ {
		out = append(out, uint16((first+uint64(i))%uint64(slots)))
	}
	return out
}

// roomFor checks that a topic may go from have to want partitions, while more are planned for others. Error: ErrPartitions.
func (c *Catalog) roomFor(have, want int32, more int64) error {
	c.mu.Lock()
	all := c.mu.partitions + more
	c.mu.Unlock()
	grow, most := int64(want)-int64(have), c.o.Settings.Int("varve.max.partitions")
	switch {
	case want < 1:
		return fmt.Errorf("%w: %d is not above 0 (-1 means the default)", ErrPartitions, want)
	case grow > MaxPartitionsPerTopic:
		return fmt.Errorf("%w: %d more in one request, more than %d", ErrPartitions, grow, MaxPartitionsPerTopic)
	case all+grow > most:
		return fmt.Errorf("%w: the cluster has %d, and %d more pass its limit of %d; raise varve.max.partitions", ErrPartitions, all, grow, most)
	}
	return nil
}

// checkSize checks that the item of r fits the store. Error: ErrConfig or ErrPartitions, whichever takes more.
func checkSize(r records.Topic) error {
	it := r.Item()
	if it.Size() <= maxItem {
		return nil
	}
	configs, _ := it[records.AttrConfigs].Bytes()
	if len(configs) > 2*len(r.Slots) {
		return fmt.Errorf("%w: all configs together have %d bytes, too many to store", ErrConfig, len(configs))
	}
	return fmt.Errorf("%w: %d partitions are too many to store in a topic", ErrPartitions, len(r.Slots))
}

// putting is the change that creates r.
func (c *Catalog) putting(r records.Topic) *change {
	return &change{name: r.Name, size: r.Item().Size(), op: func(v int64, nonce uuid.UUID) metastore.Op {
		r := r
		r.V, r.Nonce = v, nonce
		return metastore.Op{
			Kind: metastore.OpPut, Key: c.o.Cluster.TopicKey(r.Name), Set: r.Item(),
			If: []metastore.Cond{{Cmp: metastore.ItemAbsent}},
		}
	}}
}
