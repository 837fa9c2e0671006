// Pure.

package group

import (
	"encoding/binary"
	"fmt"
	"math"
)

// enc packs a member: numbers as varints, strings with their length before them, partitions as runs of neighbours.
type enc []byte

func (e *enc) num(n int64)    { *e = binary.AppendVarint(*e, n) }
func (e *enc) fixed(n uint64) { *e = binary.LittleEndian.AppendUint64(*e, n) }

func (e *enc) str(s string) {
	e.num(int64(len(s)))
	*e = append(*e, s...)
}

// grants: how many topics; of each its id, how many runs, and of each the distance from the end of the one before, its length, and
// the epoch.
func (e *enc) grants(g grants) {
	e.num(int64(len(g)))
	for _, id := range g.parts().topics() {
		*e = append(*e, id[:]...)
		runs := runsOf(g[id])
		e.num(int64(len(runs)))
		end := int32(0)
		for _, r := range runs {
			e.num(int64(r.first - end))
			e.num(int64(r.n))
			e.num(int64(r.epoch))
			end = r.first + r.n
		}
	}
}

// run is n partitions from first on, given at the same epoch.
type run struct{ first, n, epoch int32 }

func runsOf(s []grant) []run {
	var runs []run
	for _, a := range s {
		if k := len(runs) - 1; k >= 0 && runs[k].first+runs[k].n == a.part && runs[k].epoch == a.epoch {
			runs[k].n++
		} else {
			runs = append(runs, run{a.part, 1, a.epoch})
		}
	}
	return runs
}

// maxPartition bounds the number of a partition, so that a damaged run takes no memory to speak of.
const maxPartition = 1 << 20

// dec reads what enc packed. After an error it returns zeros.
type dec struct {
	b   []byte
	err error
}

func (d *dec) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: packed member: %s, %d bytes before its end", ErrBad, why, len(d.b))
	}
	d.b = nil
}

// end returns the first error; bytes that are left are one.
func (d *dec) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes too many")
	}
	return d.err
}

func (d *dec) num() int64 {
	n, w := binary.Varint(d.b)
	if w <= 0 {
		d.fail("no number")
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *dec) i32() int32 {
	n := d.num()
	if n < math.MinInt32 || n > math.MaxInt32 {
		d.fail("number out of range")
		return 0
	}
	return int32(n)
}

// count is a number of things that take at least a byte each.
func (d *dec) count() int {
	n := d.num()
	if n < 0 || n > int64(len(d.b)) {
		d.fail("count out of range")
		return 0
	}
	return int(n)
}

func (d *dec) take(n int) []byte {
	if n > len(d.b) {
		d.fail("it is cut off")
		return make([]byte, min(n, 16))
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *dec) fixed() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

func (d *dec) str() string { return string(d.take(d.count())) }

func (d *dec) grants() grants {
	out := grants{}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		id := [16]byte(d.take(16))
		var s []grant
		end := int64(0)
		for runs := d.count(); runs > 0 && d.err == nil; runs-- {
			gap, length, epoch := d.num(), d.num(), d.i32()
			if gap < 0 || length < 1 || gap > maxPartition || length > maxPartition || end+gap+length > maxPartition {
				d.fail("partition out of range")
				break
			}
			for i := range length {
				s = append(s, grant{int32(end + gap + i), epoch})
			}
			end += gap + length
		}
		if len(s) == 0 && d.err == nil {
			d.fail("topic without partitions")
		}
		if _, twice := out[id]; twice {
			d.fail("topic twice")
		}
		out[id] = s
	}
	return out
}
