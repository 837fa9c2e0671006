// Pure.

package segment

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore/bundle"
)

// Bounds of a plan.
const (
	maxPacks     = 16       // packs that one segment is cut from: each is an item of its link's transaction
	maxLinked    = 8        // segments linked by one transaction
	runsPerLook  = 256      // runs asked for at once
	runsPerPart  = 1024     // runs of a partition that one pack looks at
	leastSegment = 1 << 20  // bytes: a topic's segment.bytes counts no lower
	heavyRun     = 3 << 20  // bytes: runs so large are read one by one for no more requests than in whole bundles
	runCost      = 160      // bytes of memory that a run takes while it is rewritten
	leastRewrite = 32 << 20 // bytes
	mostGet      = 16 << 20 // bytes that one GET reads
	leastGet     = 2 << 20
	getsAtOnce   = 2
	putsAtOnce   = 2
	readsAtOnce  = 16 // of the table
)

// rules are the numbers that plans are made by.
type rules struct {
	interval   time.Duration
	packBytes  int64 // that wait: pack now
	out        int64 // bytes of bodies laid out in memory together, with runFooter for each run
	runs       int   // runs of one plan
	segment    int64 // bytes: enough for a segment
	segmentMax int64
	roll       time.Duration
	get        int // bytes of one GET
}

// newRules shares out the memory: to the GETs under way, each of which takes a full bundle and a little more, and the rest to objects being laid
// out, with room for their footers, in the buffers that there are. The list of their runs comes on top, an eighth at most.
func newRules(c Config) rules {
	share := max(c.RewriteBytes, leastRewrite)
	get := min(max(share/17, leastGet), mostGet)
	body := share - getsAtOnce*get
	out := (body - footerRoom(0, 0) - bundle.HeaderLen) / 19 * 18
	for int64(memory.Capacity(int(bundle.HeaderLen+out+footerRoom(out, 0)))) > body {
		out -= 64 << 10
	}
	return rules{
		interval: c.PackInterval, packBytes: min(c.PackBytes, out), out: out, runs: int(share / 8 / runCost),
		segment: min(c.SegmentBytes, out*3/4), segmentMax: min(c.SegmentMax, out), roll: c.Roll, get: int(get),
	}
}

// packDue reports whether it is time to pack, since being how long ago it was done.
func (r rules) packDue(tails []Tail, since time.Duration) bool {
	var wait int64
	for i := range tails {
		wait += tails[i].WALBytes
	}
	return wait > 0 && (since >= r.interval || wait >= r.packBytes)
}

// limits are what a topic asks for.
type limits struct {
	bytes int64
	after time.Duration
}

// enough is how many bytes of a partition are cut, whatever their age.
func (r rules) enough(l limits) int64 {
	if l.bytes <= 0 {
		return r.segment
	}
	return min(r.segment, max(l.bytes, leastSegment))
}

// ripe reports whether a record that has waited for age must come into a segment.
func (r rules) ripe(l limits, age time.Duration) bool {
	roll := r.roll
	if l.after > 0 {
		roll = min(roll, l.after)
	}
	return age >= roll
}

func (t *Tail) packRuns() int    { return t.Runs - t.WALRuns }
func (t *Tail) packBytes() int64 { return t.Bytes - t.WALBytes }

// heavy reports whether a partition is cut from the WAL: it has enough for a segment, in runs that are worth a GET each.
func (r rules) heavy(t *Tail, l limits) bool {
	return t.WALRuns > 0 && t.WALBytes/int64(t.WALRuns) >= heavyRun && t.Bytes >= r.enough(l)
}

// sortTails brings tails into the order in which packs have their runs.
func sortTails(tails []Tail) {
	slices.SortFunc(tails, func(a, b Tail) int { return compareNames(a.Slot, a.Name, b.Slot, b.Name) })
}

func compareNames(slotA uint16, a Name, slotB uint16, b Name) int {
	return cmp.Or(cmp.Compare(slotA, slotB), bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Index, b.Index))
}

// source names an object that runs lie in.
type source struct {
	kind    bundle.Kind
	session uuid.UUID
	seq     uint64
}

func sourceOf(o bundle.Object) source { return source{o.Kind, o.Session, o.Seq} }

func compareSources(a, b source) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), bytes.Compare(a.session[:], b.session[:]), cmp.Compare(a.seq, b.seq))
}

// tally counts what lies in WAL bundles.
type tally struct {
	own     uuid.UUID
	bundles map[source]stock
}

type stock struct {
	runs  int
	bytes int64
}

func newTally(own uuid.UUID) *tally { return &tally{own: own, bundles: map[source]stock{}} }

func (t *tally) add(run *bundle.Location) {
	s := t.bundles[sourceOf(run.Object)]
	s.runs++
	s.bytes += int64(run.Len)
	t.bundles[sourceOf(run.Object)] = s
}

// choose returns the oldest bundles that one pack can hold: those of ended sessions first, because what is left of a session is kept
// until its last run has gone. At least one, however large it is.
func (t *tally) choose(r rules) map[source]bool {
	order := make([]source, 0, len(t.bundles))
	for s := range t.bundles {
		order = append(order, s)
	}
	slices.SortFunc(order, func(a, b source) int {
		if own := a.session == t.own; own != (b.session == t.own) {
			if own {
				return 1
			}
			return -1
		}
		return compareSources(a, b)
	})
	chosen := map[source]bool{}
	var sum stock
	for _, s := range order {
		sum.runs += t.bundles[s].runs
		sum.bytes += t.bundles[s].bytes + int64(t.bundles[s].runs)*runFooter
		if len(chosen) > 0 && (sum.bytes > r.packBytes || sum.runs > r.runs) {
			break
		}
		chosen[s] = true
	}
	return chosen
}

// part is runs of one partition that go into an object together: contiguous, in order.
type part struct {
	tail Tail
	from int64 // the first offset wanted; the first run may begin below it
	runs []bundle.Location
}

func (p *part) next() int64 { return p.runs[len(p.runs)-1].Next }

func (p *part) bytes() (n int64) {
	for i := range p.runs {
		n += int64(p.runs[i].Len)
	}
	return n
}

// packsOf returns how many of runs lie in each pack.
func packsOf(runs []bundle.Location) map[uuid.UUID]int64 {
	packs := map[uuid.UUID]int64{}
	for i := range runs {
		if o := &runs[i].Object; o.Kind == bundle.PACK {
			packs[o.Session]++
		}
	}
	return packs
}

// pickSegment returns how many of runs the next segment takes: up to enough bytes, never more than limit, of no more than
// maxPacks packs, nothing beyond stable. short reports that there are more runs, and only the number of packs kept them out.
func pickSegment(runs []bundle.Location, stable, enough, limit int64) (n int, bytes int64, short bool) {
	packs := map[uuid.UUID]bool{}
	for n < len(runs) && bytes < enough {
		run := &runs[n]
		if run.Next > stable || n > 0 && bytes+int64(run.Len) > limit {
			return n, bytes, false
		}
		if run.Object.Kind == bundle.PACK && !packs[run.Object.Session] {
			if len(packs) == maxPacks {
				return n, bytes, true
			}
			packs[run.Object.Session] = true
		}
		bytes += int64(run.Len)
		n++
	}
	return n, bytes, false
}

// pickMerge returns which of runs, the first ones of which lie in packs, are merged into one: [i, j), at least two of them, or none.
// Runs at the front that are large beside what follows are left alone, or each merge would write everything again.
func pickMerge(runs []bundle.Location, limit int64) (i, j int) {
	var rest int64
	for j < len(runs) && runs[j].Object.Kind == bundle.PACK {
		rest += int64(runs[j].Len)
		j++
	}
	for i < j && int64(runs[i].Len) > (rest-int64(runs[i].Len))/2 {
		rest -= int64(runs[i].Len)
		i++
	}
	for i < j && rest > limit {
		j--
		rest -= int64(runs[j].Len)
	}
	if len(packsOf(runs[i:j])) < 2 {
		return 0, 0
	}
	return i, j
}

// share splits parts, which are in order, into groups of neighbours of at most limit bytes and count runs together, at least one
// part each.
func share(parts []part, limit int64, count int) [][]part {
	var groups [][]part
	var bytes int64
	var runs int
	for i := range parts {
		n := len(parts[i].runs)
		b := parts[i].bytes() + int64(n)*runFooter
		if len(groups) == 0 || bytes+b > limit || runs+n > count {
			groups, bytes, runs = append(groups, nil), 0, 0
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], parts[i])
		bytes, runs = bytes+b, runs+n
	}
	return groups
}
