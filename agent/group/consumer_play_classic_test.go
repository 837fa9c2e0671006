package group

import (
	"fmt"
	"strings"
	"time"
)

// In transcripts: members that speak JoinGroup, in a classic group or in one that has moved on.

// switches makes the group classic, or moves it on or back.
func (p *play) switches(how string) []string {
	var out Effects
	switch how {
	case "classic":
		p.c = NewClassic(Bounds{MinSession: time.Second, MaxSession: time.Hour, MaxMembers: 10, MaxBytes: 1 << 20})
		return nil
	case "upgrade":
		g, err := Upgrade(p.c, p.bounds, p.cat, p.now)
		if err != nil {
			return []string{err.Error()}
		}
		out, p.g, p.c = p.c.Abort(ErrRebalance), g, nil
	case "downgrade":
		if !p.g.AllClassic() {
			return []string{"there are members that speak the newer protocol"}
		}
		p.c, out = Downgrade(p.g, Bounds{MinSession: time.Second, MaxSession: time.Hour, MaxMembers: 10, MaxBytes: 1 << 20}, p.now)
	}
	return p.group(p.answers(out))
}

// legacy is a request of the classic protocol.
func (p *play) legacy(who, does string, args map[string]string) []string {
	var instance *string
	if i, ok := args["instance"]; ok {
		p.inst[who] = i
	}
	if i, ok := p.inst[who]; ok {
		instance = &i
	}
	member := who
	if p.epochs[who] == 0 || args["anew"] != "" {
		member = ""
	}
	generation := p.epochs[who]
	if g, ok := args["generation"]; ok {
		generation = int32(atoi(g))
	}
	var e Event
	switch does {
	case "joins-classic":
		j := Join{To: who, Member: member, NewID: who, Instance: instance, Session: 30 * time.Second, Rebalance: time.Minute, Type: "consumer"}
		topics := strings.Split(args["topics"], ",")
		for name := range strings.SplitSeq(args["knows"]+",sticky", ",") {
			if name != "" && (name != "sticky" || args["only"] == "") {
				j.Protocols = append(j.Protocols, Protocol{name, says(topics, p.parts(args["owns"]), p.cat)})
			}
		}
		if args["type"] != "" {
			j.Type = args["type"]
		}
		if args["garbage"] != "" {
			j.Protocols = []Protocol{{"sticky", []byte{0, 1, 0, 0, 9}}}
		}
		j.KnowsID = args["told"] != ""
		if args["is"] != "" {
			j.Member = args["is"]
		}
		e = j
	case "syncs":
		s := Sync{To: who, Member: who, Instance: instance, Generation: generation}
		for g := range strings.SplitSeq(args["gives"], "|") {
			if m, parts, ok := strings.Cut(g, ":"); ok {
				s.Assignments = append(s.Assignments, Assignment{m, embedAssigned(p.parts(parts), 1, p.cat)})
			}
		}
		e = s
	case "heartbeats":
		e = Heartbeat{To: who, Member: who, Instance: instance, Generation: generation}
	case "quits":
		e = Leave{To: who, Leavers: []Leaver{{Member: who, Instance: instance}}}
	}
	if p.c != nil {
		return p.group(p.answers(p.c.Step(e, p.now)))
	}
	return p.step(e)
}

// answers prints what members that speak JoinGroup are told.
func (p *play) answers(out Effects) []string {
	var lines []string
	for _, r := range out.Replies {
		s := fmt.Sprintf("%s is told: ", r.To)
		var err error
		switch told := r.Msg.(type) {
		case Joined:
			if err = told.Err; err == nil {
				p.epochs[r.To.(string)] = told.Generation
				s += fmt.Sprintf("generation %d, member %s", told.Generation, told.Member)
			} else if told.Member != r.To && told.Member != "" {
				s += fmt.Sprintf("(as %s) ", told.Member)
			}
		case Synced:
			if err = told.Err; err == nil {
				byName, _ := parseAssigned(told.Assignment)
				s += "has " + p.print(partsOf(byName, p.cat))
			}
		case Beaten:
			if err = told.Err; err == nil {
				s += "go on"
			}
		case Left:
			if err = told.Each[0]; err == nil {
				s += "gone"
			}
		}
		if err != nil {
			s += err.Error()
		}
		lines = append(lines, s)
	}
	return lines
}
