package cluster

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// play runs Cores against one table, on a clock of its own, and writes down what happens.
type play struct {
	t     *testing.T
	facts *mem.Store
	now   time.Time
	cast  map[string]*actor
	out   strings.Builder
	names *strings.Replacer
	begun time.Time
	zones int  // agents are spread over so many
	mute  bool // nothing is written down
}

// actor is one session with its Core, and an agent that is not there.
type actor struct {
	name    string
	id      uuid.UUID
	core    *Core
	todo    []Effect
	dead    bool // does nothing any more
	frozen  bool // does nothing for the moment
	cut     bool // its requests do not reach the table
	beaten  time.Time
	open    map[uint16]int32
	draws   map[uint16]bool
	sources map[uint16][]Source
	fail    int                   // so many openings fail
	hangs   func(Open) bool       // nil: no opening does
	hung    map[Job]Open          // openings that hang
	opens   int                   // openings so far
	fate    func(Effect) whatNext // nil: everything goes well
	held    []Effect              // sent, under way
	stuck   bool                  // what lies in other WALs stays there
}

// whatNext is what becomes of a request.
type whatNext int

const (
	goesWell  whatNext = iota
	replyLost          // done, and the answer is lost
	isLost             // not done, no answer
	underWay           // no answer; done when land is called
)

var playSlots = 6

func newPlay(t *testing.T) *play {
	begun := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return &play{t: t, facts: mem.New(), now: begun, begun: begun, cast: map[string]*actor{}}
}

func sessionID(name string) uuid.UUID {
	var id uuid.UUID
	for i := range 4 {
		id[i] = name[0]<<4 | name[0]>>4
	}
	id[0], id[3] = name[0], name[1]
	return id
}

// enters registers a session and starts its core. Names are a letter for the agent and a digit for the session.
func (p *play) enters(name string) *actor {
	a := &actor{name: name, id: sessionID(name), open: map[uint16]int32{}, draws: map[uint16]bool{}, sources: map[uint16][]Source{}, hung: map[Job]Open{}}
	a.core = NewCore(CoreConfig{
		Cluster: "c", Session: a.id, Agent: name[:1], Node: int32(name[0]-'a') + 1, Slots: playSlots,
		Heartbeat: 3 * time.Second, TTL: 9 * time.Second, Poll: 3 * time.Second, Grace: 15 * time.Minute,
	})
	c := records.Cluster("c")
	item := records.Agent{Name: name[:1], NodeID: int32(name[0]-'a') + 1, Host: name, Port: 1, Peer: name + ":2", Session: a.id}
	if p.zones > 0 {
		item.Zone = fmt.Sprint("z", int(name[0]-'a')%p.zones)
	}
	p.write(
		metastore.Op{Kind: metastore.OpPut, Key: c.SessionKey(a.id), Set: records.Session{Agent: name[:1], State: records.Active, HB: 1}.Item()},
		metastore.Op{Kind: metastore.OpPut, Key: c.LiveKey(a.id), Set: records.Live{Agent: name[:1]}.Item()},
		metastore.Op{Kind: metastore.OpPut, Key: c.AgentKey(name[:1]), Set: item.Item()},
		raiseOps(c)[0],
	)
	p.cast[name] = a
	var pairs []string
	for n, x := range p.cast {
		pairs = append(pairs, short(x.id), n)
	}
	p.names = strings.NewReplacer(pairs...)
	a.beaten = p.now
	p.say("--- %s enters", name)
	p.step(a, Tick{})
	p.settle()
	return a
}

func (p *play) write(ops ...metastore.Op) {
	p.t.Helper()
	for _, op := range ops {
		if _, err := p.facts.Write(p.t.Context(), op); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *play) say(format string, args ...any) {
	if p.mute {
		return
	}
	fmt.Fprintf(&p.out, "%s\n", p.names.Replace(fmt.Sprintf(format, args...)))
}

// step feeds an event and notes the effects. What happens all the time is not written down.
func (p *play) step(a *actor, e Event) {
	if s := p.words(e); !dull(s) {
		p.say("%6s %s <- %s", p.at(), a.name, s)
	}
	for _, f := range a.core.Step(p.now, e) {
		a.todo = append(a.todo, f)
		if s := p.words(f); !dull(s) {
			p.say("%6s %s -> %s", p.at(), a.name, s)
		}
	}
}

func (p *play) words(what fmt.Stringer) string {
	if p.mute {
		return "time"
	}
	return what.String()
}

func (p *play) at() string { return fmt.Sprintf("%.1f", p.now.Sub(p.begun).Seconds()) }

func dull(s string) bool {
	for _, d := range []string{"time", "watch", "version", "look", "trim", "tell map", "told by", "read version", "link", "timed", "topics", "map: done", "read map", "say: links", "say: handed"} {
		if strings.HasPrefix(s, d) && !strings.HasSuffix(s, "closing") {
			return true
		}
	}
	return strings.HasPrefix(s, "read session") && !strings.Contains(s, "consistently") && !strings.Contains(s, "pins")
}

// settle carries out effects until there are none.
func (p *play) settle() {
	for range 10_000 {
		busy := false
		for _, name := range slices.Sorted(maps.Keys(p.cast)) {
			a := p.cast[name]
			if a.dead || a.frozen || len(a.todo) == 0 {
				continue
			}
			f := a.todo[0]
			a.todo = a.todo[1:]
			busy = true
			p.perform(a, f)
		}
		if !busy {
			return
		}
	}
	p.t.Fatalf("it never settles:\n%s", p.out.String())
}

func (p *play) perform(a *actor, f Effect) {
	switch e := f.(type) {
	case Open:
		a.opens++
		if a.hangs != nil && a.hangs(e) {
			a.hung[e.Job] = e
			return
		}
		a.fail--
		ans := Answer{Job: e.Job, Committed: 1, Sources: maps.Clone(a.sources)}
		if a.fail >= 0 {
			ans.Err = metastore.ErrUnknown
		} else {
			for _, s := range e.Slots {
				a.open[s.Slot] = s.Epoch
			}
		}
		p.step(a, ans)
	case GiveUp:
		delete(a.hung, e.Job)
		p.step(a, Answer{Job: e.Job, Err: context.Canceled})
	case Quiesce:
		s, _ := getSession(p.t.Context(), p.facts, "c", a.id, metastore.Consistent)
		p.step(a, Answer{Job: e.Job, Committed: uint64(s.Committed), Sources: maps.Clone(a.sources)})
	case Look:
		p.step(a, Answer{Job: e.Job, Sources: p.where(a)})
	case Rewrite:
		for n := range a.sources {
			if !a.stuck {
				a.sources[n] = slices.DeleteFunc(a.sources[n], func(s Source) bool { return s.Session != a.id })
			}
		}
		p.step(a, Answer{Job: e.Job})
	case Trim:
		p.step(a, Answer{Job: e.Job})
	case Drain:
		a.draws[e.Slot] = true
	case Resume:
		delete(a.draws, e.Slot)
	case Leave:
		delete(a.open, e.Slot)
		delete(a.draws, e.Slot)
	case Tell:
		for _, name := range slices.Sorted(maps.Keys(p.cast)) {
			if b := p.cast[name]; b != a && !b.dead && !b.frozen {
				p.step(b, Told{a.id, e.Notice})
			}
		}
	case ReadVersion, ReadMap, ReadSession, ReadEnd, ReadPins, Write:
		p.request(a, f)
	}
}

func (p *play) where(a *actor) map[uint16][]Source {
	all := map[uint16][]Source{}
	for n := range a.open {
		all[n] = a.sources[n]
	}
	return all
}

func (p *play) request(a *actor, f Effect) {
	fate := goesWell
	if a.cut {
		fate = isLost
	} else if a.fate != nil {
		fate = a.fate(f)
	}
	ans := Answer{Err: metastore.ErrUnknown}
	switch fate {
	case goesWell:
		ans, _ = Do(context.Background(), p.facts, "c", f)
	case replyLost:
		ans.Job = p.do(f)
		p.say("%6s %s    the answer to %q is lost", p.at(), a.name, f)
	case isLost:
		ans.Job = jobOf(f)
	case underWay:
		ans.Job = jobOf(f)
		a.held = append(a.held, f)
		p.say("%6s %s    %q is under way", p.at(), a.name, f)
	}
	p.step(a, ans)
}

func (p *play) do(f Effect) Job {
	ans, _ := Do(context.Background(), p.facts, "c", f)
	return ans.Job
}

func jobOf(f Effect) Job {
	switch e := f.(type) {
	case ReadVersion:
		return e.Job
	case ReadMap:
		return e.Job
	case ReadSession:
		return e.Job
	case ReadEnd:
		return e.Job
	case ReadPins:
		return e.Job
	case Write:
		return e.Job
	}
	return Job{}
}

// land lets what an actor has under way arrive at the table now.
func (p *play) land(a *actor) {
	for _, f := range a.held {
		ans, _ := Do(context.Background(), p.facts, "c", f)
		p.say("%6s %s    %q arrives: %s", p.at(), a.name, f, ans)
	}
	a.held = nil
}

// pass lets time go by, with heartbeats.
func (p *play) pass(d time.Duration) {
	end := p.now.Add(d)
	for p.now.Before(end) {
		next := end
		for _, a := range p.cast {
			if a.dead || a.frozen {
				continue
			}
			if n := a.core.Next(); !n.IsZero() && n.Before(next) {
				next = n
			}
			if b := a.beaten.Add(3 * time.Second); b.Before(next) {
				next = b
			}
		}
		if next.After(p.now) {
			p.now = next
		}
		for _, name := range slices.Sorted(maps.Keys(p.cast)) {
			a := p.cast[name]
			if a.dead || a.frozen {
				continue
			}
			if !p.now.Before(a.beaten.Add(3 * time.Second)) {
				a.beaten = p.now
				if !a.cut {
					_, _ = p.facts.Write(context.Background(), metastore.Op{
						Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(a.id), Add: map[string]int64{records.AttrHB: 1},
						If: []metastore.Cond{stateIs(records.Active)},
					})
				}
			}
			p.step(a, Tick{})
		}
		p.settle()
	}
}

// commits raises the committed pointer of a session, as its WAL does.
func (p *play) commits(a *actor, n int64) {
	p.write(metastore.Op{
		Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(a.id), Set: metastore.Item{records.AttrCommitted: metastore.N(n)},
		If: []metastore.Cond{stateIs(records.Active)},
	})
}

func (p *play) gone(by, who *actor) {
	p.step(by, Gone{Session: who.id})
	p.settle()
}

// closes ends a session as Member.Leave does.
func (p *play) closes(a *actor) {
	p.step(a, Stop{})
	p.settle()
	end := readEnd(context.Background(), p.facts, "c", ReadEnd{ID: a.id, Slots: true})
	ops := endOps("c", a.id, end.Session, records.Closed, pending(a.id, end.Slots, end.Pins.Slots), p.now.UnixMilli())
	if err := p.facts.Transact(context.Background(), append(ops, pinsAre("c", a.id, end.Pins.V))); err != nil {
		p.t.Fatal(err)
	}
	p.write(metastore.Op{Kind: metastore.OpDelete, Key: records.Cluster("c").LiveKey(a.id)})
	v, _ := p.facts.Write(context.Background(), raiseOps("c")[0])
	version, _ := records.DecodeVersion(v)
	a.dead = true
	p.say("%6s %s    is closed", p.at(), a.name)
	for _, name := range slices.Sorted(maps.Keys(p.cast)) {
		if b := p.cast[name]; !b.dead {
			p.step(b, Told{a.id, peer.Notice{Map: version.Map, Closing: true}})
		}
	}
	p.settle()
}

func (p *play) session(a *actor) records.Session {
	s, err := getSession(context.Background(), p.facts, "c", a.id, metastore.Consistent)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *play) slot(n uint16) records.Slot {
	slots, err := getSlots(context.Background(), p.facts, "c")
	if err != nil {
		p.t.Fatal(err)
	}
	return slots[n]
}

// led checks how many slots each actor serves, and that no slot is served by two.
func (p *play) led(want map[string]int) {
	p.t.Helper()
	seen := map[uint16]string{}
	for name, n := range want {
		a := p.cast[name]
		if len(a.open) != n {
			p.t.Errorf("%s leads %v, want %d slots", name, slices.Sorted(maps.Keys(a.open)), n)
		}
		for slot := range a.open {
			if other := seen[slot]; other != "" {
				p.t.Errorf("slot %d is led by %s and by %s", slot, other, name)
			}
			seen[slot] = name
		}
	}
}

// curtain compares the play with its transcript.
func (p *play) curtain() {
	p.t.Helper()
	path := filepath.Join("testdata", strings.TrimPrefix(p.t.Name(), "TestPlay")+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(p.out.String()), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	if got := p.out.String(); got != string(want) {
		p.t.Errorf("the play is not that of %s (run with -update to write it):\n%s", path, difference(got, string(want)))
	}
}

func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			lines := []string{fmt.Sprintf("line %d", i+1)}
			if i < len(w) {
				lines = append(lines, "want: "+w[i])
			}
			return strings.Join(append(lines, g[i:min(len(g), i+6)]...), "\n")
		}
	}
	return "it ends too early"
}
