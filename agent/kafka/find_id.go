package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/topic"
)

// errUnknownID: no topic has the id. The zero id is nobody's.
var errUnknownID = errors.New("no topic has this id")

// idsEvery is how often the store is asked for news of topics because somebody names an id that is not known here. Clients
// ask again on UNKNOWN_TOPIC_ID, later than that.
const idsEvery = 200 * time.Millisecond

// idSearch is who asks the store for what is new, one at a time, and when that last began and ended, and how; of the holder of turn.
type idSearch struct {
	turn  chan struct{}
	begun time.Time
	last  time.Time
	err   error
}

// findID is find by id. The store cannot be asked for an id, only for what is new.
func (s *Server) findID(ctx context.Context, id uuid.UUID) *topic.Topic {
	if t := s.deps.Topics.LookupID(id); t != nil || id == uuid.Nil {
		return t
	}
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	select {
	case s.ids.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-s.ids.turn }()
	if t := s.deps.Topics.LookupID(id); t != nil {
		return t
	}
	if time.Since(s.ids.last) >= idsEvery {
		s.ids.begun = time.Now()
		s.ids.err = s.deps.Topics.CatchUp(ctx) // what it could not read is not known, as before
		s.ids.last = time.Now()                // a request may name many ids, and the store be slow
	}
	return s.deps.Topics.LookupID(id)
}
