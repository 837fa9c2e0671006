package group

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

var rewritePlays = flag.Bool("rewrite-plays", false, "write the outcome of the consumer transcripts into them")

// TestConsumerPlays runs the transcripts in testdata/consumer. A line that begins at the margin is something that happens; the indented
// lines after it are all that comes of it.
func TestConsumerPlays(t *testing.T) {
	files, _ := filepath.Glob("testdata/consumer/*.txt")
	if len(files) < 10 {
		t.Fatalf("there are %d transcripts", len(files))
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			p := newPlay(t)
			for line := range strings.Lines(string(b)) {
				if strings.HasPrefix(line, "  ") {
					continue
				}
				out.WriteString(line)
				if s := strings.TrimSpace(line); s != "" && !strings.HasPrefix(s, "#") {
					for _, l := range p.act(s) {
						out.WriteString("  " + l + "\n")
					}
				}
			}
			if *rewritePlays {
				if err := os.WriteFile(f, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if out.String() != string(b) {
				t.Errorf("%s has another outcome; it is now:\n%s", f, out.String())
			}
		})
	}
}

// play is a stage: a group, and what each actor was told last.
type play struct {
	t      *testing.T
	g      *Consumer
	c      *Classic // as long as the group is classic
	bounds ConsumerBounds
	now    time.Time
	cat    *Catalogue
	ids    map[string]uuid.UUID
	made   byte
	epochs map[string]int32
	inst   map[string]string
	stored records.Group
	people []records.GroupMember
	last   string
}

func newPlay(t *testing.T) *play {
	p := &play{t: t, now: time.Unix(1_700_000_000, 0), ids: map[string]uuid.UUID{}, epochs: map[string]int32{}, inst: map[string]string{}}
	p.bounds = ConsumerBounds{Session: 45 * time.Second, Heartbeat: 5 * time.Second, MaxMembers: 4, MaxBytes: 4096, AssignInterval: time.Second}
	p.cat = NewCatalogue(0, nil)
	p.g = NewConsumer(p.bounds, p.cat)
	return p
}

func (p *play) act(line string) []string {
	w := strings.Fields(line)
	args := map[string]string{}
	for _, a := range w[1:] {
		k, v, _ := strings.Cut(a, "=")
		args[k] = v
	}
	switch {
	case w[0] == "topics":
		p.topics(w[1:])
		return nil
	case w[0] == "time":
		return p.pass(args)
	case len(w) == 1 && (w[0] == "classic" || w[0] == "upgrade" || w[0] == "downgrade"):
		return p.switches(w[0])
	case w[0] == "crash":
		return p.crash()
	case w[0] == "unread":
		return p.unread()
	case w[0] == "describe":
		return p.describe()
	case w[0] == "bounds":
		p.bounds.MaxBytes, _ = strconv.Atoi(args["bytes"])
		return p.step(Adjust{p.bounds})
	case w[1] == "commits":
		return p.commits(w[0], args)
	case w[1] == "fetches":
		return []string{verdict(p.g.CheckFetch(w[0], int32(atoi(args["epoch"]))))}
	}
	if w[1] == "joins-classic" || w[1] == "syncs" || w[1] == "heartbeats" || w[1] == "quits" {
		return p.legacy(w[0], w[1], args)
	}
	return p.speak(w[0], w[1], args)
}

// topics makes the catalogue anew; a topic with a * after its name is another of that name.
func (p *play) topics(all []string) {
	var infos []TopicInfo
	for _, a := range all {
		name, n, _ := strings.Cut(a, "=")
		again := strings.HasSuffix(name, "*")
		name = strings.TrimSuffix(name, "*")
		if _, ok := p.ids[name]; !ok || again {
			p.made++
			p.ids[name] = uuid.UUID{15: p.made}
		}
		infos = append(infos, TopicInfo{Name: name, ID: p.ids[name], Partitions: int32(atoi(n))})
	}
	p.cat = NewCatalogue(p.cat.version+1, infos)
	p.g.Step(Topics{p.cat}, p.now)
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func (p *play) pass(args map[string]string) []string {
	for a := range args {
		d, err := time.ParseDuration(a)
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
	}
	return p.step(Tick{})
}

// crash has another coordinator go on with what was stored.
func (p *play) crash() []string {
	var err error
	if p.g, err = RestoreConsumer(p.bounds, p.cat, p.stored, p.people, p.now); err != nil {
		p.t.Fatal(err)
	}
	return p.group(nil)
}

func (p *play) speak(who, does string, args map[string]string) []string {
	e := ConsumerBeat{To: who, Member: who, Rebalance: -1, Epoch: p.epochs[who], Client: "c"}
	if i, ok := p.inst[who]; ok {
		e.Instance = &i
	}
	switch does {
	case "joins":
		e.Epoch, e.Rebalance, e.Owned = joining, time.Minute, Parts{}
	case "beats":
	case "leaves":
		e.Epoch = leaving
	case "rests":
		e.Epoch = leftForAWhile
	default:
		p.t.Fatalf("nobody can do %q", does)
	}
	for k, v := range args {
		p.field(&e, k, v)
	}
	if does == "joins" && e.Names == nil && e.Regex == nil && args["silent"] == "" {
		e.Names = []string{}
	}
	return p.step(e)
}

func (p *play) field(e *ConsumerBeat, k, v string) {
	switch k {
	case "topics":
		e.Names = strings.FieldsFunc(v, func(r rune) bool { return r == ',' })
	case "regex":
		e.Regex = &v
	case "instance":
		e.Instance = &v
	case "assignor":
		e.Assignor = &v
	case "rack":
		e.Rack = &v
	case "rebalance":
		e.Rebalance, _ = time.ParseDuration(v)
	case "epoch":
		e.Epoch = int32(atoi(v))
	case "owns":
		e.Owned = p.parts(v)
	case "is":
		e.Member = v
	}
}

// parts reads orders:0,1;clicks:2.
func (p *play) parts(s string) Parts {
	out := Parts{}
	for t := range strings.SplitSeq(s, ";") {
		name, ns, ok := strings.Cut(t, ":")
		if !ok {
			continue
		}
		for n := range strings.SplitSeq(ns, ",") {
			out[p.ids[name]] = append(out[p.ids[name]], int32(atoi(n)))
		}
	}
	return out
}

func (p *play) print(ps Parts) string {
	var all []string
	for id, ns := range ps {
		name := "?"
		for n, known := range p.ids {
			if known == id {
				name = n
			}
		}
		s := name + ":"
		for i, n := range ns {
			if i > 0 {
				s += ","
			}
			s += strconv.Itoa(int(n))
		}
		all = append(all, s)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ";")
}

func (p *play) step(e Event) []string {
	out := p.g.Step(e, p.now)
	var lines []string
	if out.Save {
		p.stored, p.people = p.g.Record()
		lines = append(lines, "stored")
	}
	for _, r := range out.Replies {
		told, ok := r.Msg.(ConsumerTold)
		if !ok {
			lines = append(lines, p.answers(Effects{Replies: []Reply{r}})...)
			continue
		}
		s := fmt.Sprintf("%s is told: ", r.To)
		switch {
		case told.Err != nil:
			s += told.Err.Error()
		case told.Assigned != nil:
			s += fmt.Sprintf("epoch %d, has %s", told.Epoch, p.print(told.Assigned))
		default:
			s += fmt.Sprintf("epoch %d", told.Epoch)
		}
		if b := e.(ConsumerBeat); told.Err == nil {
			p.epochs[r.To.(string)] = told.Epoch
			if b.Instance != nil {
				p.inst[r.To.(string)] = *b.Instance
			}
		}
		lines = append(lines, s)
	}
	return p.group(lines)
}

func (p *play) group(lines []string) []string {
	s := fmt.Sprintf("the group is %s, epoch %d", p.g.State(), p.g.epoch)
	if p.c != nil {
		s = fmt.Sprintf("the classic group is %s, generation %d", p.c.state, p.c.generation)
	}
	if s != p.last {
		p.last = s
		lines = append(lines, s)
	}
	return lines
}

func verdict(err error) string {
	if err == nil {
		return "taken"
	}
	return "refused: " + err.Error()
}

func (p *play) commits(who string, args map[string]string) []string {
	may, err := p.g.CheckCommit(who, int32(atoi(args["epoch"])))
	if err == nil {
		for id, ns := range p.parts(args["of"]) {
			for _, n := range ns {
				err = errors.Join(err, may(id, n))
			}
		}
	}
	return []string{verdict(err)}
}

// unread tells of which topics offsets may expire, of all that there ever were.
func (p *play) unread() []string {
	unread := p.g.unread(nil)
	if unread == nil {
		return []string{"nothing may expire"}
	}
	var old []string
	for name, id := range p.ids {
		if unread(id) {
			old = append(old, name)
		}
	}
	slices.Sort(old)
	return []string{fmt.Sprintf("offsets of %v may expire", old)}
}

func (p *play) describe() []string {
	d := p.g.Describe()
	lines := []string{fmt.Sprintf("%s, epoch %d, target epoch %d, assignor %s", d.State, d.Epoch, d.TargetEpoch, d.Assignor)}
	for _, m := range d.Members {
		lines = append(lines, fmt.Sprintf("%s: epoch %d, has %s, shall have %s", m.ID, m.Epoch, p.print(m.Assigned), p.print(m.Target)))
	}
	return lines
}
