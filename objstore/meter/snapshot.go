package meter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/varvelog/varve/objstore"
)

// Snapshot is what was counted so far, or between two moments (Sub). It has a line for each operation, purpose and result
// that occurred, sorted by these.
type Snapshot struct{ Lines []Line }

// Line counts the calls of one operation, purpose and result.
type Line struct {
	Op       Op
	Purpose  objstore.Purpose
	Result   Result
	Requests int64
	Bytes    int64 // of bodies
	Dollars  float64
}

// Snapshot returns the counts so far. Calls that end meanwhile may be in it in part.
func (s *Store) Snapshot() Snapshot {
	var out Snapshot
	for purpose, row := range *s.rows.Load() {
		for op := range numOps {
			for result := range numResults {
				c := &row[op].results[result]
				l := Line{Op: op, Purpose: purpose, Result: result, Requests: c.requests.Load(), Bytes: c.bytes.Load()}
				if l.Requests == 0 {
					continue
				}
				if billed(result) {
					l.Dollars = float64(l.Requests)*s.prices.request(op) + float64(l.Bytes)*s.prices.bytes(op)
				}
				out.Lines = append(out.Lines, l)
			}
		}
	}
	slices.SortFunc(out.Lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Result, b.Result))
	})
	return out
}

// Sub returns what was counted since an earlier snapshot of the same store.
func (s Snapshot) Sub(earlier Snapshot) Snapshot {
	type id struct {
		op Op
		p  objstore.Purpose
		r  Result
	}
	before := make(map[id]Line, len(earlier.Lines))
	for _, l := range earlier.Lines {
		before[id{l.Op, l.Purpose, l.Result}] = l
	}
	var out Snapshot
	for _, l := range s.Lines {
		b := before[id{l.Op, l.Purpose, l.Result}]
		l.Requests -= b.Requests
		l.Bytes -= b.Bytes
		l.Dollars -= b.Dollars
		if l.Requests != 0 {
			out.Lines = append(out.Lines, l)
		}
	}
	return out
}

// Requests returns the number of requests of an operation, with any purpose and result.
func (s Snapshot) Requests(op Op) (n int64) {
	for _, l := range s.Lines {
		if l.Op == op {
			n += l.Requests
		}
	}
	return n
}

// RequestsFor returns the number of requests of an operation for a purpose, with any result.
func (s Snapshot) RequestsFor(op Op, p objstore.Purpose) (n int64) {
	for _, l := range s.Lines {
		if l.Op == op && l.Purpose == p {
			n += l.Requests
		}
	}
	return n
}

// Bytes returns the number of body bytes of an operation.
func (s Snapshot) Bytes(op Op) (n int64) {
	for _, l := range s.Lines {
		if l.Op == op {
			n += l.Bytes
		}
	}
	return n
}

// Dollars returns what all of it cost.
func (s Snapshot) Dollars() (d float64) {
	for _, l := range s.Lines {
		d += l.Dollars
	}
	return d
}

// String returns a line of text for each Line, the same for the same counts: tests compare it.
func (s Snapshot) String() string {
	var b strings.Builder
	for _, l := range s.Lines {
		fmt.Fprintf(&b, "%s %s %s %d %d\n", l.Op, l.Purpose, l.Result, l.Requests, l.Bytes)
	}
	return b.String()
}
