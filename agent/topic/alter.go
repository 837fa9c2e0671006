package topic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Op says what a Change does to a config.
type Op int8

// The operations on a config, numbered as in Kafka's IncrementalAlterConfigs.
const (
	OpSet      Op = 0 // a nil value deletes
	OpDelete   Op = 1 // back to the default
	OpAppend   Op = 2 // of list types: adds elements that are not there yet
	OpSubtract Op = 3 // of list types: removes elements
	OpClear    Op = 4 // deletes every override; Name and Value are ignored
)

// Change is one change of a topic config.
type Change struct {
	Name  string
	Op    Op
	Value *string
}

// AddPartitions makes a topic have total partitions. Errors: ErrUnknown, ErrPartitions, ErrUnavailable.
func (c *Catalog) AddPartitions(ctx context.Context, name string, total int32, validateOnly bool) (*Topic, error) {
	return c.modify(ctx, name, validateOnly, func(r *records.Topic) (metastore.Item, error) {
		have := int32(len(r.Slots))
		if total <= have {
			return nil, fmt.Errorf("%w: topic %q has %d already; a number can only grow, and %d was asked for", ErrPartitions, name, have, total)
		}
		if err := c.roomFor(have, total, 0); err != nil {
			return nil, err
		}
		r.Slots = assign(r.ID, r.Slots, int(total), c.o.Slots)
		return metastore.Item{records.AttrSlots: records.PartitionsValue(r.Slots)}, checkSize(*r)
	})
}

// Alter changes configs of a topic, in the order of changes, all or none. Errors: ErrUnknown, ErrConfig, ErrUnavailable.
func (c *Catalog) Alter(ctx context.Context, name string, changes []Change, validateOnly bool) (*Topic, error) {
	return c.modify(ctx, name, validateOnly, func(r *records.Topic) (metastore.Item, error) {
		configs, err := c.o.Settings.alter(r.Configs, changes)
		if err != nil {
			return nil, err
		}
		if maps.Equal(configs, r.Configs) {
			return nil, nil
		}
		r.Configs = configs
		return metastore.Item{records.AttrConfigs: records.ConfigsValue(configs)}, checkSize(*r)
	})
}

// modify reads a topic's item, lets f change it and writes the attributes that f returns (nil: nothing changes), again if
// it changed between.
func (c *Catalog) modify(ctx context.Context, name string, validateOnly bool, f func(*records.Topic) (metastore.Item, error)) (*Topic, error) {
	r, err := c.read(ctx, name)
	if err != nil {
		return nil, err
	}
	for range maxTries {
		if r == nil || r.State != records.TopicActive {
			return nil, unknown(name)
		}
		set, err := f(r)
		if err != nil {
			return nil, err
		}
		if set == nil || validateOnly {
			return fromRecord(*r, c.o.Settings), nil
		}
		ch := c.updating(*r, set)
		if err := c.commit(ctx, []*change{ch}); err != nil {
			return nil, err
		}
		if !ch.failed {
			r.V = ch.v
			c.learn(*r)
			c.settled([]*change{ch})
			return fromRecord(*r, c.o.Settings), nil
		}
		r = nil
		if ch.old != nil {
			now, err := records.DecodeTopic(ch.old)
			if err != nil {
				return nil, storeError(err)
			}
			r = &now
		}
	}
	return nil, fmt.Errorf("%w: topic %q changes all the time", ErrUnavailable, name)
}

// updating is the change that sets attributes of a topic whose item is still as r was read.
func (c *Catalog) updating(r records.Topic, set metastore.Item) *change {
	return &change{name: r.Name, size: set.Size(), op: func(v int64, nonce uuid.UUID) metastore.Op {
		it := set.Clone()
		it[records.AttrV], it[records.AttrNonce] = metastore.N(v), records.IDValue(nonce)
		return metastore.Op{
			Kind: metastore.OpUpdate, Key: c.o.Cluster.TopicKey(r.Name), Set: it,
			If: append(c.isTopic(r.ID, records.TopicActive),
				metastore.Cond{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(r.V)}),
		}
	}}
}

// alter returns the overrides that changes make of have, which stays as it is. Error: ErrConfig.
func (s *Settings) alter(have map[string]string, changes []Change) (map[string]string, error) {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	for _, ch := range changes {
		if err := s.alterOne(out, ch); err != nil {
			return nil, err
		}
	}
	if c := s.effective(out); c.MinCompactionLag > c.MaxCompactionLag {
		return nil, fmt.Errorf("%w: min.compaction.lag.ms of %d is above max.compaction.lag.ms of %d", ErrConfig, c.MinCompactionLag, c.MaxCompactionLag)
	}
	return out, nil
}

func (s *Settings) alterOne(out map[string]string, ch Change) error {
	if ch.Op == OpClear {
		clear(out)
		return nil
	}
	if ch.Op == OpDelete || ch.Op == OpSet && ch.Value == nil {
		if _, there := out[ch.Name]; !there { // what is there may go, even if this agent does not know it
			_, err := topicDef(ch.Name)
			return err
		}
		delete(out, ch.Name)
		return nil
	}
	d, err := topicDef(ch.Name)
	if err != nil {
		return err
	}
	v, err := s.newValue(d, out, ch)
	if err == nil {
		v, err = d.normal(v)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, ch.Name, err)
	}
	out[ch.Name] = v
	return nil
}

// newValue works out what a config is set to.
func (s *Settings) newValue(d *def, have map[string]string, ch Change) (string, error) {
	if ch.Op == OpSet {
		return *ch.Value, nil
	}
	if ch.Op != OpAppend && ch.Op != OpSubtract {
		return "", fmt.Errorf("operation %d is not one of set, delete, append, subtract", ch.Op)
	}
	if d.typ != TypeList {
		return "", fmt.Errorf("append and subtract are for lists, and it is %s", d.typ)
	}
	if ch.Value == nil {
		return "", fmt.Errorf("append and subtract need a value")
	}
	list, given := split(s.chain(d, have)[0].Value), split(*ch.Value)
	if ch.Op == OpAppend {
		list = append(list, given...) // normal takes out what is there twice
	} else {
		list = slices.DeleteFunc(list, func(e string) bool { return slices.Contains(given, e) })
	}
	return strings.Join(list, ","), nil
}
