// Pure.

package sim

import (
	"time"

	"github.com/varvelog/varve/metastore"
)

// maxKeys bounds how many partition keys a limiter remembers. Those that have rested for a second and owe nothing are
// forgotten first, which changes nothing; if all are busy, all are.
const maxKeys = 4096

// limiter holds a token bucket for each partition key and one for the table, each of a second's worth.
type limiter struct {
	perKey, perTable float64 // units a second; 0: no limit
	keys             map[string]bucket
	table            bucket
}

type bucket struct {
	left float64
	at   time.Time // when left was true; zero: the bucket is full
}

// filled returns b as it is at now.
func (b bucket) filled(rate float64, now time.Time) bucket {
	if b.at.IsZero() {
		return bucket{rate, now}
	}
	return bucket{min(rate, b.left+max(0, now.Sub(b.at).Seconds())*rate), now}
}

// take charges units to partition keys, all or none, and reports whether the buckets had as much; more than a second's
// worth at once passes when the bucket is full.
func (l *limiter) take(units map[string]float64, now time.Time) bool {
	total := 0.0
	for _, n := range units {
		total += n
	}
	if l.perTable > 0 {
		l.table = l.table.filled(l.perTable, now)
		if l.table.left < min(total, l.perTable) {
			return false
		}
	}
	for pk, n := range units {
		if l.perKey > 0 && l.keys[pk].filled(l.perKey, now).left < min(n, l.perKey) {
			return false
		}
	}
	for pk, n := range units {
		l.charge(pk, n, now)
	}
	return true
}

// charge takes units whether they are there or not: what an update costs is known when it has happened.
func (l *limiter) charge(pk string, n float64, now time.Time) {
	if l.perTable > 0 {
		l.table = l.table.filled(l.perTable, now)
		l.table.left -= n
	}
	if l.perKey > 0 {
		if _, known := l.keys[pk]; !known {
			l.makeRoom(now)
		}
		b := l.keys[pk].filled(l.perKey, now)
		b.left -= n
		l.keys[pk] = b
	}
}

func (l *limiter) makeRoom(now time.Time) {
	if l.keys == nil {
		l.keys = map[string]bucket{}
	}
	if len(l.keys) < maxKeys {
		return
	}
	for pk, b := range l.keys {
		if now.Sub(b.at) >= time.Second && b.left >= 0 {
			delete(l.keys, pk)
		}
	}
	if len(l.keys) >= maxKeys {
		clear(l.keys)
	}
}

// units returns what writing an item costs.
func units(key metastore.Key, it metastore.Item) float64 {
	return float64(max(1, (key.Size()+it.Size()+1023)/1024))
}

// estimate returns what ops cost at least, by partition key.
func estimate(ops []metastore.Op, each float64) map[string]float64 {
	sum := make(map[string]float64, len(ops))
	for _, op := range ops {
		sum[op.Key.PK] += each * units(op.Key, op.Set)
	}
	return sum
}
