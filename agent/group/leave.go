// Pure.

package group

import "time"

// Leave takes members out.
type Leave struct {
	To      any
	Leavers []Leaver
}

// Leaver is one of them: by instance id, or by member id.
type Leaver struct {
	Member   string
	Instance *string
}

func (Leave) event() {}

// Left answers a Leave, with an error or nil for each of them.
type Left struct {
	Err  error // of the whole
	Each []error
}

func (g *Classic) leaveGroup(e Leave, now time.Time) {
	each := make([]error, len(e.Leavers))
	gone := false
	for i, l := range e.Leavers {
		if _, ok := g.pending[l.Member]; ok && l.Instance == nil {
			delete(g.pending, l.Member)
			continue
		}
		id := l.Member
		if l.Instance != nil && id == "" {
			id = g.static[*l.Instance] // an administrator need not know it
		}
		m, err := g.check(id, l.Instance)
		if err != nil {
			each[i] = err
			continue
		}
		g.remove(m, ErrUnknownMember)
		gone = true
	}
	g.reply(e.To, Left{Each: each})
	if gone {
		g.disturb(now)
	} else {
		g.tryComplete(now) // it may have waited for an id that was only given out
	}
}

// Abort answers everything that is parked with err. The group may not be used after it.
func (g *Classic) Abort(err error) Effects {
	var out Effects
	g.out = &out
	for _, id := range g.order {
		g.dismiss(g.members[id], err)
	}
	g.out = nil
	return out
}
