package group

import (
	"time"
)

// steps is what the core's steps since the last save came to. All that are taken before a save share it: members that come by the
// thousand are stored by the hundred.
type steps struct {
	replies []Reply   // to be given once that is stored
	unsaved bool      // there is something to store
	savedAt time.Time // when it was done last
	saveAt  time.Time // when it is due; zero: at once, or there is nothing
	anew    bool      // tickAt must be asked for
}

func (s *steps) collect(out Effects) {
	s.replies = append(s.replies, out.Replies...)
	s.unsaved = s.unsaved || out.Save
}

// waiting reports that something is to be stored or answered.
func (s *steps) waiting() bool { return s.unsaved || len(s.replies) > 0 }

// answer gives the replies, or tells all why nothing came of it.
func (s *steps) answer(err error) {
	replies := s.replies
	s.replies, s.unsaved, s.saveAt = nil, false, time.Time{}
	for _, r := range replies {
		if err != nil {
			r = refused(r, err)
		}
		r.To.(func(any))(r.Msg)
	}
}

// refused is a reply that tells why nothing came of it.
func refused(r Reply, err error) Reply {
	switch r.Msg.(type) {
	case Joined:
		r.Msg = refusal(err, "")
	case Synced:
		r.Msg = Synced{Err: err}
	case Left:
		r.Msg = Left{Err: err}
	case Beaten:
		r.Msg = Beaten{Err: err}
	case ConsumerTold:
		r.Msg = ConsumerTold{Err: err}
	}
	return r
}

// tick lets time pass, if something is due.
func (a *actor) tick(now time.Time) {
	if !a.tickAt.IsZero() && !now.Before(a.tickAt) {
		a.step(Tick{}, now)
	}
	if a.steps.anew {
		a.steps.anew, a.tickAt = false, a.core.Next()
	}
}

// step gives the core an event. What came of it is stored and answered by persist.
func (a *actor) step(e Event, now time.Time) {
	a.inform(now)
	if a.convert(e, now) {
		return
	}
	out := a.core.Step(e, now)
	a.steps.collect(out)
	if out.Save {
		a.fallBack(now)
	}
	g, newer := a.core.(*Consumer)
	switch e := e.(type) {
	case Heartbeat: // a sign of life only moves what is due further away, or begins a time-out of that member
		a.steps.anew = a.steps.anew || out.Save
		if newer {
			a.tickAt = earlier(a.tickAt, g.soon(e.Member))
		}
	case ConsumerBeat:
		a.steps.anew = a.steps.anew || out.Save
		if newer {
			a.tickAt = earlier(a.tickAt, g.soon(e.Member))
		}
	default:
		a.steps.anew = true
	}
	if out.Save || !newer {
		a.show()
	}
}

// persist stores what is not stored yet and answers the requests that it came from. A group whose members fill pages is stored once in
// mergeTime at most, unless now it must be.
func (a *actor) persist(now time.Time, must bool) {
	s := &a.steps
	if !s.waiting() {
		return
	}
	if due := s.savedAt.Add(mergeTime); s.unsaved && !must && a.store.item.Pages > 0 && now.Before(due) {
		s.saveAt = due
		return
	}
	if s.unsaved && a.failure == nil {
		g, members := a.core.Record()
		a.failure = a.store.save(a.ctx, g, members)
		s.savedAt = time.Now()
	}
	s.answer(a.failure)
}
