// Pure.

package records

import (
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// TopicState is the state of a topic.
type TopicState string

// The states of a topic.
const (
	TopicActive   TopicState = "ACTIVE"
	TopicDeleting TopicState = "DELETING" // refuses everything; its data is on its way out, its item goes last
)

// Topic is a topic. A topic that is created again under the same name has another ID.
type Topic struct {
	Name    string
	ID      uuid.UUID
	Slots   []uint16          // slot of each partition, so there are len(Slots) partitions
	Configs map[string]string // only what was set
	State   TopicState
	Created int64 // milliseconds since 1970
	V       int64 // rises with every write
	Nonce   uuid.UUID
}

// TopicsPK is the partition key of all Topic items.
func (c Cluster) TopicsPK() string { return c.pk("T") }

// TopicKey is the key of the Topic item of name.
func (c Cluster) TopicKey(name string) metastore.Key {
	return metastore.Key{PK: c.TopicsPK(), SK: name}
}

// Item encodes t.
func (t Topic) Item() metastore.Item {
	return metastore.Item{
		AttrName:    metastore.S(t.Name),
		AttrID:      IDValue(t.ID),
		AttrSlots:   PartitionsValue(t.Slots),
		AttrConfigs: ConfigsValue(t.Configs),
		AttrState:   t.State.Value(),
		AttrCreated: metastore.N(t.Created),
		AttrV:       metastore.N(t.V),
		AttrNonce:   IDValue(t.Nonce),
	}
}

// DecodeTopic decodes it. Error: ErrBadItem. Configs is never nil.
func DecodeTopic(it metastore.Item) (Topic, error) {
	f := fields{kind: "topic", item: it}
	t := Topic{
		Name:    f.str(AttrName),
		ID:      f.id(AttrID),
		Slots:   packed(&f, AttrSlots, parsePartitions),
		Configs: packed(&f, AttrConfigs, parseConfigs),
		State:   TopicState(f.str(AttrState)),
		Created: f.count(AttrCreated),
		V:       f.count(AttrV),
		Nonce:   f.id(AttrNonce),
	}
	if t.State != TopicActive && t.State != TopicDeleting {
		f.fail(AttrState, errRange)
	}
	if f.err != nil {
		return Topic{}, f.err
	}
	return t, nil
}

// Value is s as an attribute.
func (s TopicState) Value() metastore.Value { return metastore.S(string(s)) }

// PartitionsValue is the packed form of the slots of partitions.
func PartitionsValue(slots []uint16) metastore.Value {
	p := newPacker(2 * len(slots))
	for _, s := range slots {
		p.u16(s)
	}
	return metastore.B(p.b)
}

func parsePartitions(b []byte) ([]uint16, error) {
	u, slots := unpack(b), make([]uint16, 0, len(b)/2)
	for !u.done() {
		slots = append(slots, u.u16())
	}
	return slots, u.err
}

// ConfigsValue is the packed form of configs, sorted by key.
func ConfigsValue(configs map[string]string) metastore.Value {
	p := newPacker(32 * len(configs))
	for _, k := range slices.Sorted(maps.Keys(configs)) {
		p.str(k)
		p.str(configs[k])
	}
	return metastore.B(p.b)
}

func parseConfigs(b []byte) (map[string]string, error) {
	u, configs, last := unpack(b), map[string]string{}, ""
	for !u.done() {
		k, v := u.str(), u.str()
		if len(configs) > 0 && k <= last {
			u.fail(errOrder)
		}
		configs[k], last = v, k
	}
	return configs, u.err
}
