package cluster

import (
	"context"
	"errors"
	"testing"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// lateBeat is a table in which a session beats just before it is fenced.
type lateBeat struct {
	metastore.Store
	beaten bool
}

func (s *lateBeat) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if state, _ := op.Set[records.AttrState].Str(); state == string(records.Fenced) && !s.beaten {
		s.beaten = true
		if _, err := s.Store.Write(ctx, metastore.Op{Kind: metastore.OpUpdate, Key: op.Key, Add: map[string]int64{records.AttrHB: 1}}); err != nil {
			return nil, err
		}
	}
	return s.Store.Write(ctx, op)
}

// An agent that beats between the last look at it and the fence lives: its name is in use.
func TestNameInUseAtTheLastMoment(t *testing.T) {
	facts := &lateBeat{Store: mem.New()}
	cfg := config("a")
	cfg.Exclusive = false
	join(t, facts, cfg)
	_, err := Join(t.Context(), facts, cfg, quiet)
	var inUse *NameInUseError
	if !errors.As(err, &inUse) || inUse.Name != "a" || !facts.beaten {
		t.Fatalf("a second agent of that name: %v", err)
	}
}
