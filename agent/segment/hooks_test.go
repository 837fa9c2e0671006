package segment

import (
	"context"
	"fmt"
	"sync"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/objstore"
)

var objstoreAll objstore.Range

// hookStore calls put before each Put.
type hookStore struct {
	objstore.Store
	put func(key string)
}

func (s *hookStore) Put(ctx context.Context, key string, body []byte) error {
	s.put(key)
	return s.Store.Put(ctx, key, body)
}

// crasher makes the nth request to either store the last one of a process: it has its effect or not, and whoever asks from then on hears
// nothing.
type crasher struct {
	mu     sync.Mutex
	left   int  // requests until the crash
	effect bool // of the last one
	once   bool // all goes on after it
	dead   bool
	die    context.CancelFunc
}

// pass reports whether a request has its effect, and whether its answer comes.
func (c *crasher) pass() (effect, answer bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return false, false
	}
	if c.left--; c.left != 0 {
		return true, true
	}
	c.dead = !c.once
	c.die()
	return c.effect, false
}

var (
	errNoObjects = fmt.Errorf("%w: the process is dead", objstore.ErrUnknown)
	errNoFacts   = fmt.Errorf("%w: the process is dead", metastore.ErrUnknown)
)

type dyingObjects struct {
	objstore.Store
	c *crasher
}

func (s dyingObjects) Put(ctx context.Context, key string, body []byte) error {
	effect, answer := s.c.pass()
	if effect {
		if err := s.Store.Put(context.WithoutCancel(ctx), key, body); err != nil || answer {
			return err
		}
	}
	return errNoObjects
}

func (s dyingObjects) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if _, answer := s.c.pass(); !answer {
		return objstore.Object{}, errNoObjects
	}
	return s.Store.Get(ctx, key, r)
}

type dyingFacts struct {
	metastore.Store
	c *crasher
}

func (s dyingFacts) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if _, answer := s.c.pass(); !answer {
		return nil, errNoFacts
	}
	return s.Store.Get(ctx, key, c)
}

func (s dyingFacts) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	effect, answer := s.c.pass()
	if effect {
		if it, err := s.Store.Write(context.WithoutCancel(ctx), op); err != nil || answer {
			return it, err
		}
	}
	return nil, errNoFacts
}

func (s dyingFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	effect, answer := s.c.pass()
	if effect {
		if err := s.Store.Transact(context.WithoutCancel(ctx), ops); err != nil || answer {
			return err
		}
	}
	return errNoFacts
}

// vagueFacts is a table that answers no transaction, nor reads of what one did.
type vagueFacts struct {
	metastore.Store
	vague, effect bool
}

func (s *vagueFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	if !s.vague {
		return s.Store.Transact(ctx, ops)
	}
	if s.effect {
		_ = s.Store.Transact(ctx, ops)
	}
	return errNoFacts
}

func (s *vagueFacts) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if s.vague && key.SK == "M" && s.effect {
		return nil, errNoFacts
	}
	return s.Store.Get(ctx, key, c)
}
