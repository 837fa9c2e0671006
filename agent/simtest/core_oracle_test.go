package simtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// coreOracle knows what is so. It sees each write at the moment when a store applies it, and from the commits alone it builds the
// log of each partition, as it is by definition: everybody else has to agree with that.
type coreOracle struct {
	w        *coreWorld
	sessions map[uuid.UUID]*records.Session
	pins     map[uuid.UUID]records.Pins
	slots    map[uint16]*records.Slot
	opened   map[uint16]map[int32]uuid.UUID // by slot and epoch: who committed a slot-open
	leaders  map[uint16]map[int32]uuid.UUID // by slot and epoch
	parts    []coreTruth
	objects  map[string]*coreObject
	wal      map[uuid.UUID][]*coreObject // by session: bundles, by sequence number - 1
	dirty    map[uint16]bool             // a take-over of these is to be played
	takes    map[int32]coreTake
	beats    map[uuid.UUID]time.Duration // when a heartbeat was last applied
}

// coreTruth is the log of a partition.
type coreTruth struct {
	start, end int64
	runs       []coreRun
	next       map[int64]int32 // by producer: the sequence number of its next batch
	bases      map[coreBatchID]int64
	seen       int64 // the highest watermark that a reader was shown
}

type coreBatchID struct {
	producer int64
	seq      int32
}

// coreRun is where a stretch of a log lies.
type coreRun struct {
	base, next int64
	session    uuid.UUID
	seq        uint64
}

// coreObject is an object that was made, whether it exists or not.
type coreObject struct {
	session uuid.UUID
	seq     uint64 // 0: a snapshot
	bytes   []byte
	footer  *bundle.Footer
	exists  bool
}

type coreTake struct {
	by   uuid.UUID
	when time.Duration
}

func newCoreOracle(w *coreWorld) *coreOracle {
	o := &coreOracle{
		w: w, sessions: map[uuid.UUID]*records.Session{}, pins: map[uuid.UUID]records.Pins{}, slots: map[uint16]*records.Slot{},
		opened: map[uint16]map[int32]uuid.UUID{}, leaders: map[uint16]map[int32]uuid.UUID{}, parts: make([]coreTruth, w.plan.parts()),
		objects: map[string]*coreObject{}, wal: map[uuid.UUID][]*coreObject{}, dirty: map[uint16]bool{}, takes: map[int32]coreTake{},
		beats: map[uuid.UUID]time.Duration{},
	}
	for i := range o.parts {
		o.parts[i].next, o.parts[i].bases = map[int64]int32{}, map[coreBatchID]int64{}
	}
	for n := range uint16(w.plan.slots) {
		o.opened[n], o.leaders[n] = map[int32]uuid.UUID{}, map[int32]uuid.UUID{}
	}
	return o
}

func (o *coreOracle) version() int64 {
	item, err := o.w.facts.mem.Get(context.Background(), records.Cluster("c").VersionKey(), metastore.Consistent)
	if err != nil {
		return 0
	}
	v, _ := records.DecodeVersion(item)
	return v.Map
}

// put sends an object to the store. What was sent once under a key is all that may ever be sent under it (I6).
func (o *coreOracle) put(s *coreSession, key string, seq uint64, object []byte, answer func(error)) {
	x := o.objects[key]
	if x == nil {
		f, _, err := bundle.ParseTail(object, int64(len(object)))
		if err != nil {
			o.w.fail("I10: %s writes an object that no reader takes: %v", s, err)
			return
		}
		x = &coreObject{session: s.id, seq: seq, bytes: object, footer: f}
		o.objects[key] = x
		if seq > 0 {
			if int(seq) != len(o.wal[s.id])+1 {
				o.w.fail("I6: %s writes bundle %d after %d", s, seq, len(o.wal[s.id]))
			}
			o.wal[s.id] = append(o.wal[s.id], x)
		}
	} else if !bytes.Equal(x.bytes, object) {
		o.w.fail("I6: %s writes other bytes under %s", s, key)
	}
	s.n.store(true, func() error {
		if item := o.sessions[x.session]; seq > 0 && item.State != records.Active && int64(seq) > item.Committed {
			o.w.some("PUT landed after the fence")
		}
		x.exists = true
		return o.w.objects.Put(context.Background(), key, object)
	}, s.back(), answer)
}

func (o *coreOracle) deleteObject(key string) error {
	if x := o.objects[key]; x != nil && x.exists {
		x.exists = false
		for n := range o.slots {
			o.dirty[n] = true
		}
		defer o.settle()
	}
	return o.w.objects.Delete(context.Background(), key)
}

// session sees a session item as it is from now on.
func (o *coreOracle) session(name string, item metastore.Item) {
	id := uuid.MustParse(name)
	now, err := records.DecodeSession(item)
	if err != nil {
		o.w.fail("session %s: %v", name, err)
		return
	}
	was := o.sessions[id]
	if was == nil {
		was = &records.Session{State: records.Active}
	}
	o.sessions[id] = &now
	if now.HB != was.HB {
		o.beats[id] = o.w.now
	}
	if now.State != was.State {
		o.w.say("    %s is %s at %d", name[:4], now.State, now.Committed)
		o.stateMoved(id, was, &now)
	}
	if now.Committed != was.Committed {
		o.committed(id, was, &now)
	}
	o.attributes(id, was, &now)
	if now.State != was.State || now.Snap != was.Snap || now.Trim != was.Trim {
		for n, s := range o.slots {
			o.dirty[n] = o.dirty[n] || s.Leader == id || slices.ContainsFunc(s.From, func(f records.From) bool { return f.Session == id })
		}
	}
}

// attributes checks what may move when, each by its own compare (I2).
func (o *coreOracle) attributes(id uuid.UUID, was, now *records.Session) {
	active := was.State == records.Active && now.State == records.Active
	switch {
	case now.HB < was.HB || now.Committed < was.Committed || now.Trim < was.Trim || now.Snap < was.Snap:
		o.w.fail("I2: the item of %s goes back: %+v -> %+v", id, was, now)
	case !active && (now.Committed != was.Committed || now.Snap != was.Snap || now.HB != was.HB):
		o.w.fail("I2: the item of %s changes after ACTIVE: %+v -> %+v", id, was, now)
	case now.Trim != was.Trim && (!active || now.Trim > now.Snap+1 || now.Trim > now.Committed+1):
		o.w.fail("I2: trim of %s: %+v -> %+v", id, was, now)
	case now.Snap > now.Committed:
		o.w.fail("I2: snapshot of %s beyond its log: %+v", id, now)
	}
	if now.Trim != was.Trim {
		o.w.some("trim rose")
		for n, pin := range o.pins[id].Slots {
			if now.Trim > pin.Seq {
				o.w.fail("trim of %s at %d passes the pin of slot %d at %d", id, now.Trim, n, pin.Seq)
			}
		}
	}
	if now.Snap != was.Snap {
		if x := o.objects[o.w.keys.Snapshot(id, uint64(now.Snap), now.SnapID)]; x == nil || !x.exists {
			o.w.fail("I9: the item of %s names a snapshot that is not there", id)
		}
	}
	if len(now.Pending) < len(was.Pending) {
		o.released(id, was, now)
	}
}

// stateMoved checks the states of sessions.
func (o *coreOracle) stateMoved(id uuid.UUID, was, now *records.Session) {
	legal := map[records.State][]records.State{
		records.Active: {records.Fenced, records.Closed, records.Drained}, records.Fenced: {records.Sealed, records.Drained},
		records.Sealed: {records.Drained}, records.Closed: {records.Drained},
	}
	if !slices.Contains(legal[was.State], now.State) {
		o.w.fail("session %s: %s -> %s", id, was.State, now.State)
	}
	switch {
	case now.State == records.Fenced:
		o.fencedNow(id)
	case was.State == records.Fenced || was.State == records.Active:
		if now.End != now.Committed+1 {
			o.w.fail("I2: session %s ends at %d, committed %d", id, now.End, now.Committed)
		}
		for n, s := range o.slots {
			if e, listed := now.Pending[n]; s.Leader == id && (!listed || e < s.Epoch) {
				if o.opened[n][s.Epoch] == id {
					o.w.fail("pending of %s misses slot %d e%d, which it led", id, n, s.Epoch)
				}
				o.w.some("a slot was given to a session that was being sealed")
			}
		}
		for n, pin := range o.pins[id].Slots {
			if e, listed := now.Pending[n]; !listed || e < pin.Epoch {
				o.w.fail("pending of %s misses slot %d, pinned under e%d", id, n, pin.Epoch)
			}
			o.w.some("pins went into pending")
		}
	case now.State == records.Drained:
		o.w.some("session drained")
	}
}

// fencedNow: two healthy agents never fence each other.
func (o *coreOracle) fencedNow(id uuid.UUID) {
	o.w.some("session fenced")
	s, p := o.w.sessions[id], &o.w.plan
	if s == nil || s.dead || s.n.session != s || s.n.frozen {
		return
	}
	if !p.refuse && !slices.Contains(p.nodeFaults, "jump") && o.w.now-o.beats[id] < p.heartbeat {
		o.w.fail("E6: %s is fenced, its heartbeat moved %v ago", s, o.w.now-o.beats[id])
	}
	calm := p.table == (coreFaults{stale: p.table.stale}) && !p.refuse && p.crashAt == 0 && !slices.Contains(p.nodeFaults, "jump")
	if p.quiet || calm && o.w.now-s.n.trouble > time.Minute && !s.n.cutTable.there && !s.n.cutTable.home {
		o.w.fail("E6: %s is fenced and nothing was wrong with it", s)
	}
}

// released: only the leader of a higher epoch takes a slot out of pending, after its slot-open is committed.
func (o *coreOracle) released(id uuid.UUID, was, now *records.Session) {
	for n, epoch := range was.Pending {
		if _, still := now.Pending[n]; still {
			continue
		}
		o.w.some("slot taken out of pending")
		if !o.opensAbove(n, epoch) {
			o.w.fail("slot %d e%d taken out of pending of %s by %v", n, epoch, id, o.w.facts.by)
		}
	}
}

// opensAbove reports whether who writes now has committed a slot-open of the slot under a higher epoch.
func (o *coreOracle) opensAbove(n uint16, epoch int32) bool {
	for e, who := range o.opened[n] {
		if by := o.w.facts.by; e > epoch && by != nil && by.id == who {
			return true
		}
	}
	return false
}

// pinned sees the pins of a session as they are from now on.
func (o *coreOracle) pinned(name string, item metastore.Item) {
	id := uuid.MustParse(name)
	now, err := records.DecodePins(item)
	if err != nil {
		o.w.fail("pins of %s: %v", name, err)
		return
	}
	was := o.pins[id]
	o.pins[id] = now
	by := o.w.facts.by
	for n, pin := range now.Slots {
		if _, there := was.Slots[n]; !there && o.sessions[id].State != records.Active {
			o.w.fail("a pin of slot %d appears at %s, which is %s", n, id, o.sessions[id].State)
		}
		if pin.Seq < o.sessions[id].Trim {
			o.w.fail("slot %d is pinned at %d of %s, which is trimmed to %d", n, pin.Seq, id, o.sessions[id].Trim)
		}
	}
	for n, pin := range was.Slots {
		if _, still := now.Slots[n]; still || by == nil || by.id == id {
			continue
		}
		o.w.some("pin taken out by another")
		if !o.opensAbove(n, pin.Epoch) {
			o.w.fail("the pin of slot %d e%d at %s is taken out by %s", n, pin.Epoch, id, by)
		}
	}
	for n := range o.slots {
		o.dirty[n] = true
	}
}

// slot sees a slot item as it is from now on (I4).
func (o *coreOracle) slot(item metastore.Item) {
	now, err := records.DecodeSlot(item)
	if err != nil {
		o.w.fail("slot: %v", err)
		return
	}
	n := now.Slot
	was := o.slots[n]
	o.slots[n] = &now
	o.dirty[n] = true
	if was == nil {
		o.leaders[n][now.Epoch] = now.Leader
		return
	}
	if now.V <= was.V || now.Epoch < was.Epoch {
		o.w.fail("I4: slot %d goes back: %+v -> %+v", n, was, now)
	}
	if len(now.From) < len(was.From) {
		o.w.some("from[] shortened")
	}
	if now.Leader == was.Leader && now.Epoch == was.Epoch {
		return
	}
	if now.Epoch != was.Epoch+1 {
		o.w.fail("I4: slot %d: epoch %d -> %d", n, was.Epoch, now.Epoch)
	}
	o.leaders[n][now.Epoch] = now.Leader
	o.w.say("    slot %d e%d is led by %s", n, now.Epoch, now.Leader.String()[:4])
	if slices.ContainsFunc(now.From, func(f records.From) bool { return f.Session == now.Leader }) {
		o.w.some("slot came back to a session")
	}
	by := o.w.facts.by
	switch state := o.sessions[was.Leader].State; {
	case by != nil && by.id == was.Leader:
		if o.w.facts.late {
			o.w.some("hand-over late")
		}
		if state != records.Active {
			o.w.some("hand-over by a session that was fenced")
		}
	case state == records.Active || state == records.Fenced:
		o.w.fail("R8: slot %d is taken from %s, which is %s, by %v", n, was.Leader, state, by)
	}
}

// committed sees the log of a session grow: now, and nowhere else, the records are in it (I1, I3).
func (o *coreOracle) committed(id uuid.UUID, was, now *records.Session) {
	for seq := was.Committed + 1; seq <= now.Committed; seq++ {
		all := o.wal[id]
		if int(seq) > len(all) || !all[seq-1].exists {
			o.w.fail("I1: bundle %d of %s is committed and not in the store", seq, id)
			return
		}
		o.bundle(id, all[seq-1])
	}
}

func (o *coreOracle) bundle(id uuid.UUID, x *coreObject) {
	leads := func(n uint16, epoch int32) bool {
		s := o.slots[n]
		return s != nil && s.Leader == id && s.Epoch == epoch
	}
	for _, op := range x.footer.Ops {
		if !leads(op.Slot, op.Epoch) {
			o.w.fail("I4: %s commits an operation of slot %d e%d, which it does not lead", id, op.Slot, op.Epoch)
			return
		}
		switch op.Kind {
		case bundle.OpSlotOpen:
			o.opened[op.Slot][op.Epoch] = id
			o.dirty[op.Slot] = true
			if n := o.objects[op.Key]; op.Key != "" && (n == nil || !n.exists) {
				o.w.fail("I9: slot-open of slot %d e%d names a snapshot that is not there", op.Slot, op.Epoch)
			}
		case bundle.OpLogStart:
			p := &o.parts[op.Partition]
			if op.Offset > p.start && op.Offset <= p.end {
				p.start = op.Offset
				for len(p.runs) > 0 && p.runs[0].next <= p.start {
					p.runs = p.runs[1:]
				}
			}
		}
	}
	for i := range x.footer.Runs {
		r := &x.footer.Runs[i]
		if !leads(r.Slot, r.LeaderEpoch) {
			o.w.fail("I4: %s commits a run of slot %d e%d, which it does not lead", id, r.Slot, r.LeaderEpoch)
			return
		}
		if o.opened[r.Slot][r.LeaderEpoch] != id {
			o.w.fail("I5: %s commits a run of slot %d e%d before its slot-open", id, r.Slot, r.LeaderEpoch)
		}
		o.append(r, x.footer.BatchesOf(r), id, x.seq)
	}
}

// append adds a run to the truth: contiguous offsets, each producer's batches once and in order.
func (o *coreOracle) append(r *bundle.Run, batches []bundle.Batch, id uuid.UUID, seq uint64) {
	p := &o.parts[r.Partition]
	if r.Base != p.end {
		o.w.fail("V2: partition %d: a run at offset %d is committed, the log ends at %d", r.Partition, r.Base, p.end)
		return
	}
	for i := range batches {
		b := &batches[i]
		if want := p.next[b.ProducerID]; b.BaseSequence != want {
			what := "V1: a batch is missing"
			if b.BaseSequence < want {
				what = "V3: a batch is there twice"
			}
			o.w.fail("%s: partition %d, producer %d: sequence %d is committed at offset %d by %s, expected %d", what, r.Partition, b.ProducerID, b.BaseSequence, r.Base, id, want)
			return
		}
		p.next[b.ProducerID] = b.BaseSequence + int32(b.Records)
		p.bases[coreBatchID{b.ProducerID, b.BaseSequence}] = r.Base + int64(b.OffsetDelta)
	}
	p.end = r.Next
	p.runs = append(p.runs, coreRun{r.Base, r.Next, id, seq})
}

// published checks a view: one leader for each slot and epoch.
func (o *coreOracle) published(s *coreSession, v *cluster.View) {
	for n, l := range v.Slots {
		if l.Epoch < 0 {
			continue
		}
		if who := o.leaders[uint16(n)][l.Epoch]; who != l.Session {
			o.w.fail("I4: %s shows %s as leader of slot %d e%d, which is %s", s, l.Session, n, l.Epoch, who)
		}
		if s.view != nil && l.Epoch < s.view.Slots[n].Epoch {
			o.w.fail("V7: the view of %s goes back: slot %d e%d -> e%d", s, n, s.view.Slots[n].Epoch, l.Epoch)
		}
	}
	if s.view != nil && v.Version <= s.view.Version {
		o.w.fail("V7: the view of %s has version %d after %d", s, v.Version, s.view.Version)
	}
}

// asked and answered count rare branches.
func (o *coreOracle) asked(s *coreSession, e cluster.Write) {
	if job := e.Job.String(); strings.HasPrefix(job, "take") {
		if t := o.takes[e.Job.Slot]; t.by != uuid.Nil && t.by != s.id && o.w.now-t.when < time.Second {
			o.w.some("two controllers")
		}
		o.takes[e.Job.Slot] = coreTake{s.id, o.w.now}
	}
}

func (o *coreOracle) answered(s *coreSession, e cluster.Write, err error) {
	job, _, _ := strings.Cut(e.Job.String(), " ")
	var cond *metastore.ConditionError
	if !errors.As(err, &cond) {
		if err == nil && (job == "give-up" || job == "unpin" || job == "clear") {
			o.w.some(job)
		}
		return
	}
	switch job {
	case "fence":
		if was, err := records.DecodeSession(cond.Old); err == nil && was.State == records.Active {
			o.w.some("fence met a heartbeat")
		} else {
			o.w.some("fenced by two")
		}
	case "seal":
		o.w.some("sealed by two")
	case "hand":
		if was, err := records.DecodeSlot(cond.Old); err == nil && was.Leader != s.id {
			o.w.some("own hand-over recognised")
		}
	case "take", "want", "clear", "unpin", "pin", "give-up":
		o.w.some(job + " refused")
	}
}

// replayFailed: a leader that still is one must be able to replay.
func (o *coreOracle) replayFailed(s *coreSession, slots []cluster.Taken, err error) {
	for _, t := range slots {
		if it := o.slots[t.Slot]; it.Leader != s.id || it.Epoch != t.Epoch || len(it.From) != len(t.From) {
			return
		}
	}
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, bundle.ErrCorrupt) {
		o.w.fail("I9: %s can't open slots: %v", s, err)
	}
}

// replayed compares what a leader rebuilt, which it will serve, with the truth.
func (o *coreOracle) replayed(s *coreSession, slots []cluster.Taken, f *bundle.Footer) {
	for _, t := range slots {
		for _, from := range t.From {
			if o.sessions[from.Session].State == records.Drained {
				o.w.some("DRAINED skipped")
			}
		}
		if it := o.slots[t.Slot]; it.Leader != s.id || it.Epoch != t.Epoch || o.sessions[s.id].State != records.Active {
			o.w.some("opened for somebody else")
			continue // it was fenced meanwhile
		}
		if n := len(t.From); n > 0 && o.sessions[t.From[n-1].Session].State == records.Active {
			o.w.some("opened from a living session's log")
		}
		logs := map[int32]*coreView{}
		addSnapshot(logs, f, t.Slot)
		if e := o.compare(t.Slot, logs); e != "" {
			o.w.fail("%s opens slot %d e%d: %s", s, t.Slot, t.Epoch, e)
		}
	}
}

// fate is what somebody may be told of a batch.
func (o *coreOracle) acked(part int, id coreBatchID, base int64) {
	if got, there := o.parts[part].bases[id]; !there {
		o.w.fail("V1: partition %d: batch %d of producer %d is acked and not committed", part, id.seq, id.producer)
	} else if got != base {
		o.w.fail("V4: partition %d: batch %d of producer %d is acked at offset %d, it lies at %d", part, id.seq, id.producer, base, got)
	}
}

func (r coreRun) String() string {
	return fmt.Sprintf("[%d,%d) in %s %d", r.base, r.next, r.session.String()[:4], r.seq)
}
