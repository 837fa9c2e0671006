// Pure.

package records

import (
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// ExtentPrefix is what the sort keys of extents start with, and no other sort key under a PartitionPK.
const ExtentPrefix = "X"

// Extent is a stretch [Base, Next) of a partition's log that lies in one segment: objstore.Keys.Segment(topic, index, Base,
// Segment). The extents of a partition are contiguous from its log start to Partition.Tiered. Immutable.
type Extent struct {
	Base, Next   int64
	Segment      uuid.UUID // in the object's key
	Size         uint64    // where the object's body ends and its footer begins
	FooterLen    uint32    // bytes of the footer, trailer included: Size + FooterLen is the length of the object
	Bytes        int64     // of the batches
	Records      int64
	MinTimestamp int64 // ms: the lowest base timestamp of a batch
	MaxTimestamp int64 // ms: the largest timestamp of a record
	Top          Top   // of the extents up to this one; the zero Top in those of earlier versions, which did not write it
}

// Top is the largest timestamp TS (ms) of all extents from the one with base From on, up to some end, and the base At of the first one that
// has it. It is what a search by time halves by; extents that are gone since may have had it.
type Top struct {
	TS, At, From int64
}

// set adds t to an item, unless it is zero.
func (t Top) set(it metastore.Item) metastore.Item {
	if t != (Top{}) {
		it[AttrTop], it[AttrTopAt], it[AttrTopFrom] = metastore.N(t.TS), metastore.N(t.At), metastore.N(t.From)
	}
	return it
}

// SetTop adds to the attributes that an update sets those of t, which is not zero.
func SetTop(it metastore.Item, t Top) { t.set(it) }

// top reads a Top that may be absent.
func (f *fields) top() (t Top) {
	if _, there := f.item[AttrTop]; there {
		t = Top{TS: f.num(AttrTop, math.MinInt64, math.MaxInt64), At: f.count(AttrTopAt), From: f.count(AttrTopFrom)}
	}
	return t
}

// ExtentKey is the key of the Extent of a partition that begins at base >= 0. The order of keys is that of offsets.
func (c Cluster) ExtentKey(topic uuid.UUID, index int32, base int64) metastore.Key {
	return metastore.Key{PK: c.PartitionPK(topic, index), SK: ExtentSK(base)}
}

// ExtentSK is the sort key of the Extent that begins at base.
func ExtentSK(base int64) string { return fmt.Sprintf("%s%016x", ExtentPrefix, uint64(base)) }

// Item encodes e.
func (e Extent) Item() metastore.Item {
	return e.Top.set(metastore.Item{
		AttrBase:      metastore.N(e.Base),
		AttrNext:      metastore.N(e.Next),
		AttrSegment:   IDValue(e.Segment),
		AttrSize:      metastore.N(int64(e.Size)),
		AttrFooterLen: metastore.N(int64(e.FooterLen)),
		AttrBytes:     metastore.N(e.Bytes),
		AttrRecords:   metastore.N(e.Records),
		AttrMinTS:     metastore.N(e.MinTimestamp),
		AttrMaxTS:     metastore.N(e.MaxTimestamp),
	})
}

// DecodeExtent decodes it. Error: ErrBadItem.
func DecodeExtent(it metastore.Item) (Extent, error) {
	f := fields{kind: "extent", item: it}
	e := Extent{
		Base:         f.count(AttrBase),
		Next:         f.count(AttrNext),
		Segment:      f.id(AttrSegment),
		Size:         uint64(f.count(AttrSize)),
		FooterLen:    uint32(f.num(AttrFooterLen, 0, math.MaxUint32)),
		Bytes:        f.count(AttrBytes),
		Records:      f.count(AttrRecords),
		MinTimestamp: f.num(AttrMinTS, math.MinInt64, math.MaxInt64),
		MaxTimestamp: f.num(AttrMaxTS, math.MinInt64, math.MaxInt64),
		Top:          f.top(),
	}
	if e.Next <= e.Base {
		f.fail(AttrNext, fmt.Errorf("not above %q of %d: %w", AttrBase, e.Base, errRange))
	}
	if f.err != nil {
		return Extent{}, f.err
	}
	return e, nil
}
