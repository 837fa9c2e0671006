package group

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// updatePlays is for `go test ./agent/group -run TestClassicPlays -update-plays`, which writes what comes of each line anew.
var updatePlays = flag.Bool("update-plays", false, "write testdata/classic anew")

// classicStage is where a play is on: the group, the clock, and who was given which member id.
type classicStage struct {
	t     *testing.T
	g     *Classic
	now   time.Time
	start time.Time
	ids   map[string]string // by name, the newest id
	runs  map[string]int
	out   []string
}

func testBounds() Bounds {
	return Bounds{MinSession: 6 * time.Second, MaxSession: 30 * time.Minute, MaxMembers: 4, MaxBytes: 4096}
}

// TestClassicPlays: each line of a play that begins with "> " is what members do; the lines below it are all that comes of it.
//
//	NAME joins [new|id=ID] [instance=I] [range=META] [rr=META] [topics=T,U] [type=T] [session=D] [rebalance=D] [told]   told: KIP-394
//	NAME syncs GENERATION [MEMBER=ASSIGNMENT]...     NAME beats GENERATION     NAME leaves     NAME commits GENERATION
//	instance I leaves     wait D     delay D     restart     unread TOPIC...   those whose offsets may expire
func TestClassicPlays(t *testing.T) {
	files, err := filepath.Glob("testdata/classic/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d plays, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Unix(1_800_000_000, 0)
			s := &classicStage{t: t, g: NewClassic(testBounds()), now: start, start: start, ids: map[string]string{}, runs: map[string]int{}}
			for line := range strings.Lines(string(b)) {
				line = strings.TrimRight(line, "\n")
				switch {
				case strings.HasPrefix(line, "> "):
					s.out = append(s.out, line)
					s.act(strings.Fields(line[2:]))
					s.out = append(s.out, "    "+s.scene())
				case strings.HasPrefix(line, "#"), line == "":
					s.out = append(s.out, line)
				}
			}
			got := strings.Join(s.out, "\n") + "\n"
			if *updatePlays {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("the play went another way:\n%s", got)
			}
		})
	}
}

// scene is the state in a line.
func (s *classicStage) scene() string {
	line := fmt.Sprintf("= %v at %v, generation %d", s.g.state, s.now.Sub(s.start), s.g.generation)
	if len(s.g.order) > 0 {
		line += ", members " + strings.Join(s.g.order, " ")
	}
	return line
}

func (s *classicStage) act(words []string) {
	switch {
	case words[0] == "wait":
		s.wait(words[1])
	case words[0] == "delay":
		s.g.bounds.InitialDelay, _ = time.ParseDuration(words[1])
	case words[0] == "restart":
		r, members := s.g.Record()
		s.show(s.g.Abort(ErrNotCoordinator))
		s.g = Restore(s.g.bounds, r, members, s.now)
	case words[0] == "unread":
		s.out = append(s.out, "    "+unreadOf(s.g, words[1:]))
	case words[0] == "instance":
		s.show(s.g.Step(Leave{To: "an administrator", Leavers: []Leaver{{Instance: &words[1]}}}, s.now))
	default:
		s.member(words[0], words[1], words[2:])
	}
}

func (s *classicStage) wait(text string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	end := s.now.Add(d)
	for n := 0; ; n++ {
		next := s.g.Next()
		if next.IsZero() || next.After(end) || n > 1000 {
			break
		}
		if s.now = maxTime(s.now, next); true {
			if out := s.g.Step(Tick{}, s.now); len(out.Replies) > 0 || out.Save {
				s.out = append(s.out, fmt.Sprintf("    at %v:", s.now.Sub(s.start)))
				s.show(out)
			}
		}
	}
	s.now = end
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *classicStage) member(name, verb string, args []string) {
	var instance *string
	id := s.ids[name]
	rest := map[string]string{}
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		rest[k] = v
		switch k {
		case "instance":
			instance = &v
		case "id":
			id = v
		case "new":
			id = ""
		}
	}
	generation := 0
	if len(args) > 0 {
		generation, _ = strconv.Atoi(args[0])
	}
	switch verb {
	case "joins":
		j := s.join(name, id, instance, rest)
		for _, a := range args {
			if k, v, _ := strings.Cut(a, "="); k == "range" || k == "rr" {
				j.Protocols = append(j.Protocols, Protocol{k, []byte(v)})
			} else if k == "topics" {
				j.Protocols = append(j.Protocols, Protocol{"range", subscriptionTo(strings.FieldsFunc(v, func(r rune) bool { return r == ',' })...)})
			}
		}
		if _, ok := rest["none"]; !ok && len(j.Protocols) == 0 {
			j.Protocols = []Protocol{{"range", []byte("t")}}
		}
		s.show(s.g.Step(j, s.now))
	case "syncs":
		e := Sync{To: name, Member: id, Instance: instance, Generation: int32(generation)}
		for _, a := range args[1:] {
			if k, v, ok := strings.Cut(a, "="); ok && k != "instance" && k != "id" {
				e.Assignments = append(e.Assignments, Assignment{k, []byte(v)})
			}
		}
		s.show(s.g.Step(e, s.now))
	case "beats":
		s.show(s.g.Step(Heartbeat{To: name, Member: id, Instance: instance, Generation: int32(generation)}, s.now))
	case "leaves":
		s.show(s.g.Step(Leave{To: name, Leavers: []Leaver{{Member: id, Instance: instance}}}, s.now))
	case "commits":
		s.out = append(s.out, fmt.Sprintf("    %s: %s", name, orDone(s.g.CheckCommit(id, instance, int32(generation), s.now))))
	default:
		s.t.Fatalf("%s %s?", name, verb)
	}
}

func (s *classicStage) join(name, id string, instance *string, rest map[string]string) Join {
	j := Join{To: name, Member: id, Instance: instance, Client: name, Type: "consumer", Session: 10 * time.Second, Rebalance: time.Minute}
	if id == "" {
		s.runs[name]++
		j.NewID = fmt.Sprintf("%s-%d", name, s.runs[name])
	}
	_, j.KnowsID = rest["told"]
	_, j.Skips = rest["skips"]
	if v, ok := rest["type"]; ok {
		j.Type = v
	}
	if v, ok := rest["session"]; ok {
		j.Session, _ = time.ParseDuration(v)
	}
	if v, ok := rest["rebalance"]; ok {
		j.Rebalance, _ = time.ParseDuration(v)
	}
	return j
}

func orDone(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

// show writes down effects, and remembers member ids.
func (s *classicStage) show(out Effects) {
	if out.Save {
		s.out = append(s.out, "    saved")
	}
	for _, r := range out.Replies {
		text := ""
		switch m := r.Msg.(type) {
		case Joined:
			if m.Err == nil || m.Err == ErrMemberIDRequired {
				s.ids[r.To.(string)] = m.Member
			}
			text = "join: " + joinedText(m)
		case Synced:
			text = "sync: " + orDone(m.Err)
			if m.Err == nil {
				text = fmt.Sprintf("sync: %s %s %q", m.Type, m.Assignor, m.Assignment)
			}
		case Beaten:
			text = "beat: " + orDone(m.Err)
		case Left:
			text = "leave:"
			for _, err := range m.Each {
				text += " " + orDone(err)
			}
		}
		s.out = append(s.out, fmt.Sprintf("    %v: %s", r.To, text))
	}
}

func joinedText(m Joined) string {
	if m.Err != nil {
		return fmt.Sprintf("%v (%s)", m.Err, m.Member)
	}
	text := fmt.Sprintf("%s is in generation %d of %s, leader %s", m.Member, m.Generation, m.Assignor, m.Leader)
	if m.Skip {
		text += ", does not assign"
	}
	for _, o := range m.Members {
		said := string(o.Metadata)
		if topics, ok := parseSubscription(o.Metadata); ok {
			said = fmt.Sprintf("reads %v", topics)
		}
		text += fmt.Sprintf(" [%s %s]", o.ID, said)
	}
	return text
}

// subscriptionTo is what a consumer says of itself that reads topics: version 0, no user data.
func subscriptionTo(topics ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(len(topics)))
	for _, t := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t))), t...)
	}
	return binary.BigEndian.AppendUint32(b, 0xffffffff)
}

// unreadOf says which of topics may lose offsets while the group has members.
func unreadOf(g core, topics []string) string {
	var all []TopicInfo
	for i, t := range topics {
		all = append(all, TopicInfo{t, topicID(i + 1), 1})
	}
	unread := g.unread(NewCatalogue(1, all))
	if unread == nil {
		return "nothing may expire"
	}
	var old []string
	for _, t := range all {
		if unread(t.ID) {
			old = append(old, t.Name)
		}
	}
	return fmt.Sprintf("offsets of %v may expire", old)
}
