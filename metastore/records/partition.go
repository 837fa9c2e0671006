// Pure.

package records

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Partition is what the table knows of a partition: which part of its log lies in segments. It is made with the first link, and a
// partition without one has all of its log in WAL bundles and packs. The log's own start is a fold over the WAL and never
// lower than LogStart here, which follows when extents are unlinked.
type Partition struct {
	Topic    uuid.UUID
	Index    int32
	LogStart int64 // extents reach from here
	Tiered   int64 // to here: never below LogStart
	Bytes    int64 // of the batches in extents
	Extents  int64 // how many there are
	V        int64 // rises with every write
	Nonce    uuid.UUID
	Top      Top // of the extents up to Tiered; zero: nobody knows
}

// PartitionPK is the partition key of a partition's item and of its extents.
func (c Cluster) PartitionPK(topic uuid.UUID, index int32) string {
	return c.pk(fmt.Sprintf("P#%s#%08x", topic, uint32(index)))
}

// PartitionKey is the key of the Partition item.
func (c Cluster) PartitionKey(topic uuid.UUID, index int32) metastore.Key {
	return metastore.Key{PK: c.PartitionPK(topic, index), SK: "M"}
}

// Item encodes p.
func (p Partition) Item() metastore.Item {
	return p.Top.set(metastore.Item{
		AttrID:        IDValue(p.Topic),
		AttrPartition: metastore.N(int64(p.Index)),
		AttrLogStart:  metastore.N(p.LogStart),
		AttrTiered:    metastore.N(p.Tiered),
		AttrBytes:     metastore.N(p.Bytes),
		AttrExtents:   metastore.N(p.Extents),
		AttrV:         metastore.N(p.V),
		AttrNonce:     IDValue(p.Nonce),
	})
}

// DecodePartition decodes it. Error: ErrBadItem.
func DecodePartition(it metastore.Item) (Partition, error) {
	f := fields{kind: "partition", item: it}
	p := Partition{
		Topic:    f.id(AttrID),
		Index:    f.i32(AttrPartition),
		LogStart: f.count(AttrLogStart),
		Tiered:   f.count(AttrTiered),
		Bytes:    f.count(AttrBytes),
		Extents:  f.count(AttrExtents),
		V:        f.count(AttrV),
		Nonce:    f.id(AttrNonce),
		Top:      f.top(),
	}
	if p.Tiered < p.LogStart {
		f.fail(AttrTiered, fmt.Errorf("below %q of %d: %w", AttrLogStart, p.LogStart, errRange))
	}
	if f.err != nil {
		return Partition{}, f.err
	}
	return p, nil
}
