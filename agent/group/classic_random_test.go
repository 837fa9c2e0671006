package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// randomSteps is how many events a random test feeds: VARVE_GROUP_STEPS, or otherwise.
func randomSteps(otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("VARVE_GROUP_STEPS")); err == nil {
		return n
	}
	return otherwise
}

// randomSeed is the first seed of a random test: VARVE_GROUP_SEED, or 1.
func randomSeed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("VARVE_GROUP_SEED"), 10, 64); err == nil {
		return n
	}
	return 1
}

const (
	classicSteps = 300_000 // events of the random test of classic groups
	classicTurns = 3000    // of them with one seed
)

// randomClient is a client: what it knows, and what it waits for.
type randomClient struct {
	id         string
	instance   *string
	generation int32
	leads      bool
	members    []JoinMember
	waits      string // "join", "sync", or nothing
	ticket     int
	dead       bool
	assigned   string
}

// crowd is clients of one group who do as they like.
type crowd struct {
	t       testing.TB
	r       *rand.Rand
	g       *Classic
	stored  *Classic // what the last save held
	now     time.Time
	clients []*randomClient
	ghosts  []*randomClient // runs of static members that live on, although another one began
	tickets map[int]*randomClient
	asked   map[int]bool // requests that were not answered
	next    int
	owners  map[string]string // of "generation" -> who leads it; of "generation/partition" -> member that was given it
}

// TestClassicRandomEvents: whatever members do, say, and leave undone, and however often the coordinator moves: nobody is given a
// partition that another was given in the same generation, each generation has one leader, each request is answered once, a run of a static
// member that was replaced changes nothing any more, and when all behave the group becomes Stable, everybody is in it, every partition is given
// to somebody, and it stays so.
func TestClassicRandomEvents(t *testing.T) {
	steps := randomSteps(classicSteps)
	t.Logf("%d events", steps)
	for seed := randomSeed(); steps > 0; seed++ {
		n := min(steps, classicTurns)
		steps -= n
		c := newCrowd(t, seed)
		for range n {
			c.step()
		}
		c.settle(seed)
		if t.Failed() {
			t.Fatalf("seed %d (VARVE_GROUP_SEED=%d)", seed, seed)
		}
	}
}

func newCrowd(t testing.TB, seed uint64) *crowd {
	r := rand.New(rand.NewPCG(seed, 7))
	b := testBounds()
	b.MaxMembers, b.MaxBytes = 6, 1<<16
	if r.IntN(2) == 0 {
		b.InitialDelay = 3 * time.Second
	}
	c := &crowd{t: t, r: r, g: NewClassic(b), now: time.Unix(1_800_000_000, 0), tickets: map[int]*randomClient{}, asked: map[int]bool{}, owners: map[string]string{}}
	for i := range 8 {
		k := &randomClient{generation: -1}
		if i%3 == 0 {
			name := fmt.Sprintf("i%d", i%5)
			k.instance = &name
		}
		c.clients = append(c.clients, k)
	}
	return c
}

func (c *crowd) step() {
	switch n := c.r.IntN(100); {
	case n < 10:
		c.now = c.now.Add(time.Duration(c.r.IntN(4000)) * time.Millisecond)
		c.take(c.g.Step(Tick{}, c.now))
	case n == 10:
		c.move()
	case n < 14:
		c.double(c.clients[c.r.IntN(len(c.clients))])
	case n < 24 && len(c.ghosts) > 0:
		c.haunt(c.r.IntN(len(c.ghosts)))
	default:
		c.client(c.clients[c.r.IntN(len(c.clients))])
	}
}

// double begins another run of a static member, whatever the one before is doing or waiting for: it does not end.
func (c *crowd) double(k *randomClient) {
	if k.instance == nil || k.dead || k.id == "" || len(c.ghosts) > 3 {
		return
	}
	old := *k
	if old.waits != "" {
		c.tickets[old.ticket] = &old
	}
	c.ghosts = append(c.ghosts, &old)
	*k = randomClient{instance: k.instance, generation: -1}
	if c.r.IntN(2) == 0 {
		c.join(k)
	}
}

// haunt has a ghost go on as if nothing had been. Once the group has another member in its place it is told so, and nothing comes of it.
func (c *crowd) haunt(i int) {
	k := c.ghosts[i]
	if k.id == "" || k.waits != "" && c.r.IntN(3) == 0 {
		c.ghosts = slices.Delete(c.ghosts, i, i+1)
		return
	}
	if k.waits != "" {
		return
	}
	gone := c.g.members[k.id] == nil
	was, state, deadline := "", c.g.state, c.g.deadline
	if gone {
		was = fmt.Sprint(c.g.Record())
	}
	switch n := c.r.IntN(4); {
	case n == 0:
		c.join(k)
	case n == 1 && k.generation >= 0:
		c.sync(k)
	case n == 2:
		c.take(c.g.Step(Leave{To: c.ticket(k, ""), Leavers: []Leaver{{Member: k.id, Instance: k.instance}}}, c.now))
	default:
		c.take(c.g.Step(Heartbeat{To: c.ticket(k, "beat"), Member: k.id, Instance: k.instance, Generation: k.generation}, c.now))
	}
	if gone && (fmt.Sprint(c.g.Record()) != was || c.g.state != state || c.g.deadline != deadline) {
		c.t.Errorf("a run that was replaced changed the group: %v, generation %d", c.g.state, c.g.generation)
	}
}

// move has another coordinator take over, who was told all, or all but the last step, which nobody was answered.
func (c *crowd) move() {
	for _, k := range slices.Concat(c.clients, c.ghosts) {
		k.waits = ""
	}
	clear(c.tickets)
	clear(c.asked)
	r, members := c.g.Record()
	if c.g.state == Preparing || c.stored == nil {
		if c.stored == nil {
			c.g = NewClassic(c.g.bounds)
			return
		}
		r, members = c.stored.Record()
	}
	c.g = Restore(c.g.bounds, r, members, c.now)
}

func (c *crowd) client(k *randomClient) {
	if k.dead {
		if c.r.IntN(5) == 0 {
			*k = randomClient{instance: k.instance, generation: -1}
		}
		return
	}
	if k.waits != "" {
		if c.r.IntN(10) > 0 {
			return
		}
		delete(c.tickets, k.ticket) // it gave up waiting
		k.waits = ""
	}
	switch n := c.r.IntN(20); {
	case n == 0:
		k.dead = true
	case n == 1:
		c.take(c.g.Step(Leave{To: c.ticket(k, ""), Leavers: []Leaver{{Member: k.id, Instance: k.instance}}}, c.now))
		k.id, k.generation = "", -1
	case n < 4:
		c.join(k)
	case n == 4:
		c.take(c.g.Step(Heartbeat{To: c.ticket(k, ""), Member: "x" + k.id, Instance: k.instance, Generation: k.generation + 1}, c.now))
	case k.generation < 0:
		c.join(k)
	case k.assigned == "":
		c.sync(k)
	default:
		c.take(c.g.Step(Heartbeat{To: c.ticket(k, "beat"), Member: k.id, Instance: k.instance, Generation: k.generation}, c.now))
	}
}

func (c *crowd) ticket(k *randomClient, waits string) int {
	c.next++
	c.tickets[c.next], c.asked[c.next] = k, true
	k.waits, k.ticket = waits, c.next
	return c.next
}

func (c *crowd) join(k *randomClient) {
	c.next++
	j := Join{
		Member: k.id, NewID: fmt.Sprintf("m%d", c.next), Instance: k.instance, Type: "consumer", KnowsID: true, Skips: c.r.IntN(2) == 0,
		Session: time.Duration(6+c.r.IntN(10)) * time.Second, Rebalance: time.Duration(c.r.IntN(20)) * time.Second,
		Protocols: []Protocol{{"range", []byte{byte(c.r.IntN(3))}}, {"rr", nil}},
	}
	if c.r.IntN(3) == 0 {
		j.Protocols = j.Protocols[1:]
	}
	j.To = c.ticket(k, "join")
	k.assigned = ""
	c.take(c.g.Step(j, c.now))
}

// sync assigns 12 partitions to whoever the leader was told of, if it leads.
func (c *crowd) sync(k *randomClient) {
	e := Sync{To: c.ticket(k, "sync"), Member: k.id, Instance: k.instance, Generation: k.generation}
	if k.leads && len(k.members) > 0 {
		to := map[string][]byte{}
		for p := range byte(12) {
			m := k.members[c.r.IntN(len(k.members))].ID
			to[m] = append(to[m], 'a'+p)
		}
		for m, b := range to {
			e.Assignments = append(e.Assignments, Assignment{m, b})
		}
	}
	c.take(c.g.Step(e, c.now))
}

// take gives replies to their clients, and checks them.
func (c *crowd) take(out Effects) {
	c.check()
	if out.Save {
		r, members := c.g.Record()
		c.stored = Restore(c.g.bounds, r, members, c.now)
	}
	for _, r := range out.Replies {
		if !c.asked[r.To.(int)] {
			c.t.Errorf("a request is answered twice: %+v", r.Msg)
		}
		delete(c.asked, r.To.(int))
		k, ok := c.tickets[r.To.(int)]
		if !ok {
			continue // it gave up
		}
		delete(c.tickets, r.To.(int))
		if k.ticket == r.To.(int) {
			k.waits = ""
			c.hear(k, r.Msg)
		}
	}
}

func (c *crowd) hear(k *randomClient, msg any) {
	switch m := msg.(type) {
	case Joined:
		k.generation, k.leads, k.members = -1, false, nil
		switch m.Err {
		case nil:
			k.id, k.generation, k.leads, k.members = m.Member, m.Generation, m.Leader == m.Member && !m.Skip, m.Members
		case ErrMemberIDRequired:
			k.id = m.Member
		default:
			k.id = ""
		}
	case Synced:
		if m.Err != nil {
			c.lost(k, m.Err)
			return
		}
		k.assigned = "-" + string(m.Assignment)
		for _, p := range m.Assignment {
			if p < 'a' || p > 'l' {
				continue // of nothing
			}
			key := fmt.Sprintf("%d/%c", k.generation, p)
			seat := k.id
			if k.instance != nil {
				seat = *k.instance // its next run gets what it had
			}
			if owner := c.owners[key]; owner != "" && owner != seat {
				c.t.Errorf("partition %c of generation %d is given to %s and %s", p, k.generation, owner, seat)
			}
			c.owners[key] = seat
		}
	case Beaten:
		if m.Err != nil {
			c.lost(k, m.Err)
		}
	}
}

func (c *crowd) lost(k *randomClient, err error) {
	k.generation, k.assigned = -1, ""
	if err == ErrUnknownMember || err == ErrFenced {
		k.id = ""
	}
}

// check is what always holds.
func (c *crowd) check() {
	g := c.g
	fail := func(what string) { c.t.Errorf("%s: %v, generation %d", what, g.state, g.generation) }
	if (g.state == Empty) != (len(g.members) == 0) && g.state != Preparing {
		fail("members of an empty group, or none of another")
	}
	if len(g.order) != len(g.members) || len(g.static) > len(g.members) {
		fail("the lists of members differ")
	}
	for id, m := range g.members {
		if m.id != id || m.instance != nil && g.static[*m.instance] != id {
			fail("a member has two names")
		}
		if m.join != nil && g.state != Preparing || m.sync != nil && g.state != Completing {
			fail("somebody waits for what does not come")
		}
	}
	if (g.state == Stable || g.state == Completing) && g.members[g.leader] == nil && g.state == Completing {
		fail("nobody is to assign")
	}
	if (g.state == Preparing || g.state == Completing) && g.deadline.IsZero() {
		fail("a rebalance without an end")
	}
}

// restart has one of many members end and come back at once, a static one without a word.
func (c *crowd) restart(k *randomClient) {
	if c.r.IntN(8) > 0 {
		return
	}
	if k.instance == nil {
		c.take(c.g.Step(Leave{To: c.ticket(k, ""), Leavers: []Leaver{{Member: k.id}}}, c.now))
	}
	*k = randomClient{instance: k.instance, generation: -1}
}

// settle has everybody behave from now on, and after a while nobody come or go: the group becomes Stable, with all that may be in it.
func (c *crowd) settle(seed uint64) {
	for _, k := range c.clients {
		if k.dead || k.instance != nil && k.waits == "" {
			*k = randomClient{instance: k.instance, generation: -1}
		}
	}
	live := c.clients[:4] // instance ids 0 and 3 once each
	generation := int32(0)
	for n := range 600 {
		switch {
		case n < 200:
			c.restart(live[c.r.IntN(len(live))])
		case n == 400:
			generation = c.g.generation
		}
		c.now = c.now.Add(500 * time.Millisecond)
		c.take(c.g.Step(Tick{}, c.now))
		for _, k := range live {
			switch {
			case k.dead || k.waits != "":
			case k.generation < 0:
				c.join(k)
			case k.assigned == "":
				c.sync(k)
			default:
				c.take(c.g.Step(Heartbeat{To: c.ticket(k, "beat"), Member: k.id, Instance: k.instance, Generation: k.generation}, c.now))
			}
		}
	}
	if c.g.state != Stable || len(c.g.members) != len(live) {
		c.t.Errorf("seed %d: after five minutes of good behaviour: %v with %d members of %d", seed, c.g.state, len(c.g.members), len(live))
	}
	if c.g.generation != generation {
		c.t.Errorf("seed %d: generation %d after 100 s in which nobody came or went, %d after 200 s", seed, generation, c.g.generation)
	}
	if len(c.asked) > 0 {
		c.t.Errorf("seed %d: %d requests were not answered", seed, len(c.asked))
	}
	given := map[rune]bool{}
	for _, k := range live {
		for _, p := range k.assigned {
			if p >= 'a' && p <= 'l' {
				given[p] = true
			}
		}
	}
	if len(given) < 12 {
		c.t.Errorf("seed %d: of 12 partitions %d are given to somebody: %v", seed, len(given), given)
	}
	for _, k := range live {
		if k.assigned == "" {
			c.t.Errorf("seed %d: %s has no assignment", seed, k.id)
		}
	}
}
