package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore/records"
)

// finder looks up the topics that one request names. What is not known here may have been made by another agent a moment ago: the
// store is asked for the first maxFinds of such names, and for the others once for all that is new. So a request costs so many
// reads and findTime at the most, whatever it names, also when the store does not answer.
type finder struct {
	s      *Server
	ctx    context.Context // of the request
	search context.Context // ends after findTime; nil: nothing was looked for yet
	done   context.CancelFunc
	began  time.Time
	reads  int
	caught bool  // the store was asked for all that is new
	err    error // of that
}

// finder is to be ended.
func (s *Server) finder(ctx context.Context) finder { return finder{s: s, ctx: ctx} }

func (f *finder) end() {
	if f.done != nil {
		f.done()
	}
}

// topic returns a topic, nil if there is none or if that could not be found out.
func (f *finder) topic(name string) *topic.Topic {
	t, _ := f.find(name)
	return t
}

// find is topic with the difference: if there is none it returns nil and no error.
func (f *finder) find(name string) (*topic.Topic, error) {
	if t := f.s.deps.Topics.Lookup(name); t != nil || topic.CheckName(name) != nil {
		return t, nil
	}
	f.begin()
	if f.reads < maxFinds {
		f.reads++
		t, err := f.s.deps.Topics.Find(f.search, name)
		if errors.Is(err, topic.ErrUnknown) {
			return nil, nil
		}
		return t, err
	}
	f.catchUp()
	if t := f.s.deps.Topics.Lookup(name); t != nil {
		return t, nil
	}
	return nil, f.err
}

// findID is find by id. An item that does not decode makes no secret of the others: what is not among those is unknown, else whoever names
// the id of a deleted topic would be told to wait until somebody mends the table. Unlike a name, an id that is unknown is answered as that,
// never as "nothing was committed".
func (f *finder) findID(id uuid.UUID) (*topic.Topic, error) {
	if t := f.s.deps.Topics.LookupID(id); t != nil || id == uuid.Nil {
		return t, nil
	}
	f.begin()
	f.catchUp()
	if t := f.s.deps.Topics.LookupID(id); t != nil || errors.Is(f.err, records.ErrBadItem) {
		return t, nil
	}
	return nil, f.err
}

func (f *finder) begin() {
	if f.search == nil {
		f.began = time.Now()
		f.search, f.done = context.WithTimeout(f.ctx, findTime)
	}
}

func (f *finder) catchUp() {
	if !f.caught {
		f.caught, f.err = true, f.s.catchUp(f.search, f.began)
	}
}

// catchUp asks the store for all topics that are new, unless somebody did since a time. One asks at a time.
func (s *Server) catchUp(ctx context.Context, since time.Time) error {
	select {
	case s.ids.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.ids.turn }()
	if s.ids.begun.After(since) {
		return s.ids.err
	}
	s.ids.begun = time.Now()
	s.ids.err = s.deps.Topics.CatchUp(ctx) // on an error some may be known nevertheless
	s.ids.last = time.Now()
	return s.ids.err
}
