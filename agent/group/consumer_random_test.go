package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

const (
	consumerSteps = 100_000 // events of the random consumer test
	consumerTurns = 12_500  // of them with one seed
)

// TestConsumerRandom drives a group with clients that join, leave, die, restart, lose requests and answers, give up late, and with coordinators
// that die and lose what they did not store, while topics come, grow and go. No two members ever hold a partition at once; what a
// member holds it may commit; and as soon as peace is kept for a while everybody has what the target says, and every partition has
// an owner.
func TestConsumerRandom(t *testing.T) {
	steps := randomSteps(consumerSteps)
	for seed := randomSeed(); steps > 0; seed++ {
		w := newWorld(t, seed)
		w.mixed = seed%2 == 0
		for range min(steps, consumerTurns) {
			w.turn()
			w.check()
			if w.rnd.IntN(500) == 0 {
				w.peace()
			}
			if t.Failed() {
				t.Fatalf("seed %d (VARVE_GROUP_SEED=%d), step %d", seed, seed, w.steps)
			}
		}
		steps -= consumerTurns
		t.Logf("seed %d: %d events, %d heartbeats, %d stored, %d crashes of the coordinator, %d fenced, epoch %d",
			seed, w.steps, w.beats, w.saves, w.crashes, w.fenced, w.g.epoch)
	}
}

// client is a consumer as it sees itself.
type client struct {
	id       string
	instance *string
	epoch    int32 // 0: not a member, or it does not know
	names    []string
	regex    string
	own      Parts // what it reads
	told     Parts // what it shall have
	ack      bool  // own has changed since it said so
	full     bool  // it does not know what arrived

	classic bool // it speaks JoinGroup
	eager   bool // and gives up everything before it joins
	phase   phase
}

// phase is what a client that speaks JoinGroup does next.
type phase uint8

const (
	toJoin phase = iota
	toSync
	toBeat
)

type world struct {
	t       *testing.T
	rnd     *rand.Rand
	g       *Consumer
	bounds  ConsumerBounds
	now     time.Time
	cat     *Catalogue
	topics  []TopicInfo
	clients []*client
	named   int
	stored  records.Group
	packed  []byte
	quiet   bool // nothing is lost
	mixed   bool // some clients speak JoinGroup

	steps, beats, saves, crashes, fenced int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_700_000_000, 0)}
	w.bounds = ConsumerBounds{Session: 45 * time.Second, Heartbeat: 5 * time.Second, MaxMembers: 6, MaxBytes: 1 << 20}
	w.cat = NewCatalogue(1, nil)
	w.g = NewConsumer(w.bounds, w.cat)
	w.store()
	for range 3 {
		w.topic()
	}
	return w
}

func (w *world) store() {
	r, members := w.g.Record()
	w.stored, w.packed = r, records.PackGroupMembers(members)
	w.saves++
}

// crash has a new coordinator read what was stored last.
func (w *world) crash() {
	members, err := records.ParseGroupMembers(w.packed)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.g, err = RestoreConsumer(w.bounds, w.cat, w.stored, members, w.now); err != nil {
		w.t.Fatal(err)
	}
	w.crashes++
}

// topic creates, grows, deletes or replaces a topic.
func (w *world) topic() {
	i := w.rnd.IntN(4)
	name := fmt.Sprintf("topic-%d", i)
	at := slices.IndexFunc(w.topics, func(t TopicInfo) bool { return t.Name == name })
	var put []TopicInfo
	var gone []string
	switch {
	case at < 0:
		w.named++
		w.topics = append(w.topics, TopicInfo{Name: name, ID: uuid.UUID{1: byte(w.named >> 16), 2: byte(w.named >> 8), 3: byte(w.named), 15: byte(w.rnd.Uint32())}, Partitions: 1 + w.rnd.Int32N(4)})
		put = w.topics[len(w.topics)-1:]
	case w.rnd.IntN(3) > 0 && w.topics[at].Partitions < 8:
		w.topics[at].Partitions++
		put = w.topics[at : at+1]
	default:
		w.topics = slices.Delete(w.topics, at, at+1)
		gone = []string{name}
	}
	w.cat = w.cat.With(w.cat.version+1, put, gone)
	w.g.Step(Topics{w.cat}, w.now)
}

// turn is one event.
func (w *world) turn() {
	w.steps++
	var c *client
	if len(w.clients) > 0 {
		c = w.clients[w.rnd.IntN(len(w.clients))]
	}
	switch k := w.rnd.IntN(100); {
	case k < 4 || c == nil:
		w.join()
	case k < 5:
		w.topic()
	case k < 7:
		w.crash()
	case k < 8:
		w.clients = slices.DeleteFunc(w.clients, func(o *client) bool { return o == c }) // dies
	case k < 10:
		w.leave(c)
	case k < 12:
		w.subscribe(c)
	case k < 14:
		w.now = w.now.Add(time.Duration(w.rnd.IntN(20)) * time.Second)
		w.do(Tick{})
	case k < 17:
		w.garbage(c)
	case k < 40:
		c.obey()
	default:
		w.now = w.now.Add(time.Duration(w.rnd.IntN(500)) * time.Millisecond)
		w.beat(c, true)
	}
}

func (w *world) join() {
	if len(w.clients) >= 7 {
		return
	}
	w.named++
	c := &client{id: fmt.Sprintf("m%04d", w.rnd.IntN(5000)) + fmt.Sprint(w.named)}
	if w.rnd.IntN(3) == 0 {
		i := fmt.Sprintf("static-%d", w.rnd.IntN(3))
		for _, o := range w.clients {
			if o.instance != nil && *o.instance == i {
				return
			}
		}
		c.instance = &i
	}
	w.choose(c)
	if w.mixed && w.rnd.IntN(2) == 0 {
		c.classic, c.eager, c.regex = true, w.rnd.IntN(2) == 0, ""
	}
	w.clients = append(w.clients, c)
}

func (w *world) choose(c *client) {
	if c.classic {
		c.phase = toJoin
	}
	c.names, c.regex = []string{}, ""
	for i := range 4 {
		if w.rnd.IntN(2) == 0 {
			c.names = append(c.names, fmt.Sprintf("topic-%d", i))
		}
	}
	if w.rnd.IntN(3) == 0 && !c.classic {
		c.regex = []string{"topic-[12]", ".*", "topic-3|topic-0"}[w.rnd.IntN(3)]
	}
}

func (w *world) subscribe(c *client) {
	w.choose(c)
	c.full = true
}

// leave also forgets the client; half of the static ones will come back.
func (w *world) leave(c *client) {
	w.clients = slices.DeleteFunc(w.clients, func(o *client) bool { return o == c })
	if c.classic {
		w.do(Leave{Leavers: []Leaver{{Member: c.id, Instance: c.instance}}})
		return
	}
	e := ConsumerBeat{Member: c.id, Instance: c.instance, Epoch: leaving, Rebalance: -1}
	if c.instance != nil && w.rnd.IntN(2) == 0 {
		e.Epoch = leftForAWhile
	}
	w.do(e)
}

// garbage is a request that is late, or made up.
func (w *world) garbage(c *client) {
	if c.classic {
		return
	}
	e := ConsumerBeat{Member: c.id, Instance: c.instance, Epoch: w.rnd.Int32N(c.epoch+3) + 1, Rebalance: -1}
	if e.Epoch == c.epoch || w.rnd.IntN(3) == 0 {
		e.Member = "nobody"
	}
	if m := w.g.members[e.Member]; m != nil && (e.Epoch == m.epoch || m.restored) {
		return // the member itself could say that
	}
	if told := w.do(e); told != nil && told.Err == nil {
		w.t.Errorf("%s was taken at epoch %d, it is at %d", e.Member, e.Epoch, c.epoch)
	}
}

// obey gives up what it shall, then takes what it is given.
func (c *client) obey() {
	if c.epoch > 0 && !c.classic {
		c.own, c.ack = c.told, true
	}
}

// beat is a heartbeat of c; lossy ones may be lost, as may be their answers.
func (w *world) beat(c *client, lossy bool) {
	w.beats++
	if c.classic {
		w.classic(c, lossy)
		return
	}
	e := ConsumerBeat{Member: c.id, Instance: c.instance, Epoch: c.epoch, Rebalance: -1}
	if c.full || c.epoch == joining {
		e.Rebalance, e.Names, e.Regex = 30*time.Second, c.names, &c.regex
	}
	if c.full || c.ack {
		e.Owned = c.own
	}
	if c.epoch == joining {
		c.own, c.told = Parts{}, Parts{}
		e.Owned = Parts{}
	}
	c.full = true
	if lossy && w.rnd.IntN(20) == 0 {
		return
	}
	told := w.do(e)
	if told == nil || lossy && w.rnd.IntN(20) == 0 {
		return
	}
	c.hear(*told, w)
}

func (c *client) hear(told ConsumerTold, w *world) {
	switch {
	case errors.Is(told.Err, ErrUnknownMember) || errors.Is(told.Err, ErrFencedEpoch) || errors.Is(told.Err, ErrFenced):
		w.fenced++
		c.epoch, c.own, c.told = joining, Parts{}, Parts{}
		return
	case told.Err != nil:
		return
	}
	c.epoch, c.full, c.ack = told.Epoch, false, false
	if told.Assigned == nil {
		return
	}
	c.told, c.ack = told.Assigned, true
	if c.own.within(granted(c.told, 0)) {
		c.own = c.told // nothing to give up: it begins at once
	}
}

// classic is the next request of a client that speaks JoinGroup.
func (w *world) classic(c *client, lossy bool) {
	if lossy && w.rnd.IntN(20) == 0 {
		return
	}
	var e Event = Heartbeat{Member: c.id, Instance: c.instance, Generation: c.epoch}
	switch c.phase {
	case toJoin:
		if c.eager {
			c.own = Parts{}
		}
		j := Join{Member: c.id, NewID: c.id, Instance: c.instance, Session: 45 * time.Second, Rebalance: 30 * time.Second, Type: "consumer"}
		if c.epoch == joining {
			j.Member = ""
		}
		j.Protocols = []Protocol{{Name: "sticky", Metadata: says(c.names, c.own, w.cat)}}
		e = j
	case toSync:
		e = Sync{Member: c.id, Instance: c.instance, Generation: c.epoch}
	}
	msg := w.reply(e)
	if lossy && w.rnd.IntN(20) == 0 {
		return
	}
	c.listen(msg, w)
}

// listen takes an answer to JoinGroup, SyncGroup or Heartbeat; nil: it was lost.
func (c *client) listen(msg any, w *world) {
	var err error
	switch told := msg.(type) {
	case Joined:
		if err = told.Err; err == nil {
			c.epoch, c.phase = told.Generation, toSync
		}
	case Synced:
		if err = told.Err; err == nil {
			byName, ok := parseAssigned(told.Assignment)
			if !ok {
				w.t.Errorf("%s cannot read %x", c.id, told.Assignment)
			}
			c.told, c.phase = partsOf(byName, w.cat), toBeat
			if !c.own.within(granted(c.told, 0)) {
				c.phase = toJoin // it gave something up, and says so
			}
			c.own = c.told
		}
	case Beaten:
		err = told.Err
	}
	switch {
	case errors.Is(err, ErrRebalance):
		c.phase = toJoin
	case err != nil:
		c.epoch, c.own, c.told, c.phase = joining, Parts{}, Parts{}, toJoin
		w.named++
		c.id = fmt.Sprintf("k%d", w.named) // as after a restart: another member
	}
}

// says is a subscription in the encoding of JoinGroup, version 1.
func says(topics []string, owned Parts, cat *Catalogue) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = binary.BigEndian.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	b = append(b, 0xff, 0xff, 0xff, 0xff)
	rest := embedAssigned(owned, 0, cat)
	return append(b, rest[2:len(rest)-4]...)
}

// do takes a step and returns the answer to a heartbeat, nil if it was lost.
func (w *world) do(e Event) *ConsumerTold {
	if told, ok := w.reply(e).(ConsumerTold); ok {
		return &told
	}
	return nil
}

// reply takes a step and returns the answer. One that is to be stored may be lost with its coordinator, before or after it was stored.
func (w *world) reply(e Event) any {
	out := w.g.Step(e, w.now)
	if out.Save && w.quiet {
		w.store()
	} else if out.Save {
		if w.rnd.IntN(40) == 0 {
			w.crash()
			return nil
		}
		w.store()
		if w.rnd.IntN(40) == 0 {
			w.crash()
			return nil
		}
	}
	for _, r := range out.Replies {
		return r.Msg
	}
	return nil
}

// check looks for a partition that two members hold, and at the group's books.
func (w *world) check() {
	owner := map[uuid.UUID]map[int32]string{}
	for _, c := range w.clients {
		m := w.g.members[c.id]
		if m == nil || c.epoch == joining {
			continue // thrown out, or it has nothing
		}
		may, err := w.g.CheckCommit(c.id, c.epoch)
		if err != nil && m.epoch >= c.epoch && !c.classic {
			w.t.Errorf("%s may not commit at epoch %d: %v", c.id, c.epoch, err)
		}
		for id, ns := range c.own {
			for _, n := range ns {
				if owner[id] == nil {
					owner[id] = map[int32]string{}
				}
				if other := owner[id][n]; other != "" {
					w.t.Errorf("%s and %s both have %s %d", other, c.id, id, n)
				}
				owner[id][n] = c.id
				if err == nil && may(id, n) != nil {
					w.t.Errorf("%s has %s %d and may not commit it at epoch %d", c.id, id, n, c.epoch)
				}
			}
		}
	}
	held := ledger{}
	for _, m := range w.g.members {
		for _, all := range []grants{m.assigned, m.revoking, m.maybe} {
			held.add(all, 1)
		}
	}
	if len(held) != len(w.g.held) {
		w.t.Errorf("the ledger has %d topics, not %d", len(w.g.held), len(held))
	}
	for id, counts := range held {
		for n, k := range counts {
			if w.g.held.count(id, int32(n)) != int(k) {
				w.t.Errorf("the ledger says that %d hold %s %d, there are %d", w.g.held.count(id, int32(n)), id, n, k)
			}
		}
	}
}

// peace lets everybody live quietly for some minutes, until the members that are gone have been noticed; then the group must be where it
// wants to be.
func (w *world) peace() {
	w.quiet = true
	defer func() { w.quiet = false }()
	for range 30 {
		w.now = w.now.Add(5 * time.Second)
		w.do(Tick{})
		for _, c := range w.clients {
			c.obey()
			w.beat(c, false)
			w.check()
		}
	}
	if s := w.g.State(); s != "Stable" && (s != "Empty" || len(w.clients) > 0) {
		w.t.Errorf("after peace the group is %s: %+v", s, w.g.Describe())
	}
	readers := map[uuid.UUID]int{}
	for _, c := range w.clients {
		m := w.g.members[c.id]
		if m == nil {
			if len(w.g.members) < w.bounds.MaxMembers {
				w.t.Errorf("after peace %s is no member", c.id)
			}
			continue
		}
		if len(c.own) != len(m.target) || !c.own.within(granted(m.target, 0)) || c.own.Len() != m.target.Len() {
			w.t.Errorf("after peace %s has %v, it should have %v", c.id, c.own, m.target)
		}
		for _, id := range m.wants.topics {
			readers[id] += 0 // also those without owners are looked at
		}
		for id, ns := range c.own {
			readers[id] += len(ns)
		}
	}
	for id, n := range readers {
		if n != int(w.cat.ids[id].Partitions) {
			w.t.Errorf("after peace %d of %d partitions of %s have an owner", n, w.cat.ids[id].Partitions, id)
		}
	}
}
