package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/topic"
)

// When an agent dies or ends, its clients ask the others at once who leads now, and for some hundred milliseconds nobody does. To be told
// so, or to be sent to an agent that is on its way out, costs a client seconds: kgo asks for metadata once in 5 s. So Metadata and
// FindCoordinator wait a little for slots that have just lost their leader, and answer when the next one is known. What has been lost
// for longer is not waited for: a cluster in trouble answers at once, with what is.
//
// A client may ask sooner than anybody here knows of the death: it sees its own connection break at the same moment. So those two first ask
// the other agents whether they are there, which takes a round trip between agents while all is well.

// The bounds of such waits.
const (
	leaderTime     = time.Second           // after a slot was lost, for the next leader; of one request too, whatever is lost meanwhile
	findTheNext    = 3 * time.Second       // the same of FindCoordinator: kgo gives a member up if whom it asks next is the dead agent
	newsTime       = 50 * time.Millisecond // for the other agents' word; longer than it takes to notice that a link broke
	leaderLook     = 5 * time.Millisecond  // how often the view is looked at
	maxLeaderWaits = 10_000                // requests that wait; others are answered at once
)

// leaderWaits are the requests that wait for a view. One goroutine looks for all of them, and ends when there are none.
type leaderWaits struct {
	longest time.Duration // leaderTime, but for tests
	find    time.Duration // findTheNext, but for tests
	news    time.Duration // newsTime, but for tests
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed when the view has changed since it was made; nil: nobody looks
}

// askedSlots are slots, as a set.
type askedSlots map[uint16]struct{}

// patience is how long it is worth waiting, from now, for the next leaders of slots that are waited for so long after the loss; 0: those
// that can be told are known.
func patience(v *cluster.View, now time.Time, asked askedSlots, longest time.Duration) time.Duration {
	most := time.Duration(0)
	for slot := range asked {
		if since, lost := v.Lost[slot]; lost {
			most = max(most, longest-now.Sub(since))
		}
	}
	return most
}

// losing reports whether any slot has been lost so lately that somebody may want to wait for it.
func losing(v *cluster.View, now time.Time, longest time.Duration) bool {
	for _, since := range v.Lost {
		if now.Sub(since) < longest {
			return true
		}
	}
	return false
}

// askPeers waits for the other agents' word that they are there, or for what is told of one that is not.
func (s *Server) askPeers(ctx context.Context) {
	if !s.joinLeaderWait() {
		return
	}
	defer s.leaveLeaderWait()
	ctx, cancel := context.WithTimeout(ctx, s.leaders.news)
	defer cancel()
	s.deps.Peers.Ask(ctx)
}

// alone reports whether there is no other agent to ask.
func (s *Server) alone(v *cluster.View) bool { return len(v.Nodes) < 2 || s.deps.Peers == nil }

// awaitLeaders waits while slots are lost, until ctx ends at the latest.
func (s *Server) awaitLeaders(ctx context.Context, asked askedSlots, longest time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if len(asked) == 0 || !s.joinLeaderWait() {
		return
	}
	defer s.leaveLeaderWait()
	for {
		changed := s.nextView() // before the view is looked at: no change is missed
		left := patience(s.deps.Cluster.View(), time.Now(), asked, longest)
		if left <= 0 {
			return
		}
		enough := time.NewTimer(left)
		select {
		case <-changed:
		case <-enough.C:
		case <-ctx.Done():
		}
		enough.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func (s *Server) joinLeaderWait() bool {
	w := &s.leaders
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n >= maxLeaderWaits {
		return false
	}
	w.n++
	return true
}

func (s *Server) leaveLeaderWait() {
	s.leaders.mu.Lock()
	defer s.leaders.mu.Unlock()
	s.leaders.n--
}

// nextView returns what is closed when there is another view than now.
func (s *Server) nextView() <-chan struct{} {
	w := &s.leaders
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
		view := s.deps.Cluster.View()
		s.wg.Go(func() { s.lookAtViews(view) })
	}
	return w.changed
}

// lookAtViews wakes who waits whenever the view has changed, until nobody waits.
func (s *Server) lookAtViews(last *cluster.View) {
	tick := time.NewTicker(leaderLook)
	defer tick.Stop()
	w := &s.leaders
	for range tick.C {
		w.mu.Lock()
		now := s.deps.Cluster.View()
		if over := w.n == 0; over || now != last {
			close(w.changed)
			w.changed, last = make(chan struct{}), now
			if over {
				w.changed = nil
				w.mu.Unlock()
				return
			}
		}
		w.mu.Unlock()
	}
}

// metadataSlots are the slots of the topics that a request is about, as far as they are known here. With nothing lost they do not matter:
// nil.
func (s *Server) metadataSlots(v *cluster.View, req *kmsg.MetadataRequest) askedSlots {
	if !losing(v, time.Now(), s.leaders.longest) {
		return nil
	}
	asked := askedSlots{}
	add := func(t *topic.Topic) {
		if t != nil {
			for _, slot := range t.Slots {
				asked[slot] = struct{}{}
			}
		}
	}
	if allTopics(req) {
		for _, t := range s.deps.Topics.List() {
			add(t)
		}
		return asked
	}
	for i := range req.Topics {
		if q := &req.Topics[i]; q.TopicID != [16]byte{} {
			add(s.deps.Topics.LookupID(q.TopicID))
		} else if q.Topic != nil {
			add(s.deps.Topics.Lookup(*q.Topic))
		}
	}
	return asked
}

// coordinatorSlots are the slots of the groups that a request asks for.
func (s *Server) coordinatorSlots(v *cluster.View, req *kmsg.FindCoordinatorRequest) askedSlots {
	if len(v.Slots) == 0 || req.CoordinatorType != coordinatesGroup || !losing(v, time.Now(), s.leaders.find) {
		return nil
	}
	asked := askedSlots{}
	if req.Version < 4 {
		asked[group.Slot(req.CoordinatorKey, len(v.Slots))] = struct{}{}
	}
	for _, key := range req.CoordinatorKeys {
		asked[group.Slot(key, len(v.Slots))] = struct{}{}
	}
	return asked
}
