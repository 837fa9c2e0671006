package group

import (
	"fmt"
	"time"
)

// Migration says which groups with members go from one protocol to the other (group.consumer.migration.policy). Without members every
// group does.
type Migration struct {
	Upgrade   bool // a classic group becomes a consumer group when the first member of that protocol joins
	Downgrade bool // a consumer group becomes classic when its last member of that protocol goes
}

// inform tells a core of newer topics and settings.
func (a *actor) inform(now time.Time) {
	g, ok := a.core.(*Consumer)
	if !ok {
		return
	}
	if cat := a.c.cfg.Topics(false); cat != g.cat {
		a.steps.collect(g.Step(Topics{cat}, now))
	}
	a.c.keepConfigs(now)
	if b := a.adjusted(); b != g.bounds {
		a.steps.collect(g.Step(Adjust{b}, now))
	}
}

// convert makes the core one of the event's protocol if it may be; it reports that the event is done with.
func (a *actor) convert(e Event, now time.Time) bool {
	switch old := a.core.(type) {
	case *Classic:
		if beat, ok := e.(ConsumerBeat); ok {
			a.upgrade(old, beat, now)
			return true
		}
	case *Consumer:
		if _, ok := e.(Join); ok && len(old.members) == 0 {
			g, out := Downgrade(old, a.c.cfg.Bounds, now)
			a.core = g
			a.steps.collect(out)
		}
	}
	return false
}

// upgrade takes a heartbeat of the newer protocol to a classic group. Who is refused leaves the group as it was.
func (a *actor) upgrade(old *Classic, beat ConsumerBeat, now time.Time) {
	g, out, err := a.tryUpgrade(old, beat, now)
	if err != nil {
		a.steps.collect(Effects{Replies: []Reply{{beat.To, ConsumerTold{Err: err, Member: beat.Member}}}})
		return
	}
	a.core = g
	if n := len(old.members); n > 0 {
		a.c.log.Info("a classic group goes over to the consumer protocol", "group", a.name, "members", n)
	}
	a.steps.collect(old.Abort(ErrRebalance))
	a.steps.collect(out)
	a.steps.unsaved, a.steps.anew = true, true
	a.show()
}

func (a *actor) tryUpgrade(old *Classic, beat ConsumerBeat, now time.Time) (*Consumer, Effects, error) {
	if beat.Epoch != joining {
		return nil, Effects{}, beat.unknown() // it was one before the group went back
	}
	if len(old.members) > 0 && !a.c.cfg.Migration.Upgrade {
		return nil, Effects{}, fmt.Errorf("%w: its members speak the classic protocol, and group.consumer.migration.policy keeps it so", ErrOtherType)
	}
	g, err := Upgrade(old, a.adjusted(), a.c.cfg.Topics(true), now)
	if err != nil {
		return nil, Effects{}, err
	}
	out := g.Step(beat, now)
	for _, r := range out.Replies {
		if told, ok := r.Msg.(ConsumerTold); ok && told.Err != nil {
			return nil, Effects{}, told.Err
		}
	}
	return g, out, nil
}

// fallBack makes a group classic again once all of its members are, if it may.
func (a *actor) fallBack(now time.Time) {
	g, ok := a.core.(*Consumer)
	if !ok || !a.c.cfg.Migration.Downgrade || !g.AllClassic() {
		return
	}
	c, out := Downgrade(g, a.c.cfg.Bounds, now)
	a.core = c
	a.c.log.Info("a consumer group goes back to the classic protocol", "group", a.name, "members", len(c.members))
	a.steps.collect(out)
	a.steps.anew = true
	a.show()
}
