// Pure.

package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/varvelog/varve/metastore"
)

// codecVersion is the first byte of every stored item.
const codecVersion = 1

// Types of values, as stored.
const (
	typeString = 's'
	typeNumber = 'n'
	typeBytes  = 'b'
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errCut = errors.New("cut short")
)

// prefix is the part of a stored key that all items of pk share; the sort key follows. The length comes first, so that no
// partition key is the beginning of another and byte order is the order of sort keys.
func prefix(pk string) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(pk)+64), uint16(len(pk)))
	return append(b, pk...)
}

func storedKey(k metastore.Key) []byte { return append(prefix(k.PK), k.SK...) }

// encode is it as stored: see the package comment.
func encode(it metastore.Item) []byte {
	b := append(make([]byte, 0, 16+12*len(it)+it.Size()), codecVersion)
	b = binary.AppendUvarint(b, uint64(len(it)))
	for _, name := range slices.Sorted(maps.Keys(it)) {
		b = appendBlob(b, []byte(name))
		v := it[name]
		if s, ok := v.Str(); ok {
			b = appendBlob(append(b, typeString), []byte(s))
		} else if n, ok := v.Num(); ok {
			b = binary.AppendVarint(append(b, typeNumber), n)
		} else {
			p, _ := v.Bytes()
			b = appendBlob(append(b, typeBytes), p)
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendBlob(b, p []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(p))), p...) }

// decode copies what it needs of b, which belongs to the file.
func decode(b []byte) (metastore.Item, error) {
	n := len(b) - crc32.Size
	if n < 2 {
		return nil, errCut
	}
	if sum := binary.LittleEndian.Uint32(b[n:]); sum != crc32.Checksum(b[:n], castagnoli) {
		return nil, errors.New("wrong checksum")
	}
	if b[0] != codecVersion {
		return nil, fmt.Errorf("item of version %d, this build knows %d", b[0], codecVersion)
	}
	d := decoder{b: b[1:n]}
	count := d.uvarint()
	it := make(metastore.Item, min(count, uint64(len(d.b))))
	for range count {
		name := string(d.blob())
		v := d.value()
		if d.err != nil {
			return nil, d.err
		}
		it[name] = v
	}
	if len(d.b) > 0 || uint64(len(it)) != count {
		return nil, errors.New("bytes left over or names twice")
	}
	return it, d.err
}

// decoder keeps the first error; after one it returns zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	d.b = nil
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errCut)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) blob() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail(errCut)
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) value() metastore.Value {
	if len(d.b) == 0 {
		d.fail(errCut)
		return metastore.Value{}
	}
	t := d.b[0]
	d.b = d.b[1:]
	switch t {
	case typeString:
		return metastore.S(string(d.blob()))
	case typeBytes:
		return metastore.B(slices.Clone(d.blob()))
	case typeNumber:
		v, n := binary.Varint(d.b)
		if n > 0 {
			d.b = d.b[n:]
			return metastore.N(v)
		}
		d.fail(errCut)
	default:
		d.fail(fmt.Errorf("value of type %q", t))
	}
	return metastore.Value{}
}
