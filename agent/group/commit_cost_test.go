package group

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// billed counts write units as DynamoDB does: one per KiB of an item, begun or whole; twice that in a transaction. A write takes 5 ms.
type billed struct {
	metastore.Store
	mu    sync.Mutex
	units int
}

func (s *billed) bill(op metastore.Op, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units += times * max(1, (op.Key.Size()+op.Set.Size()+1023)/1024)
}

func (s *billed) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	s.bill(op, 1)
	time.Sleep(5 * time.Millisecond)
	return s.Store.Write(ctx, op)
}

func (s *billed) Transact(ctx context.Context, ops []metastore.Op) error {
	for _, op := range ops {
		s.bill(op, 2)
	}
	time.Sleep(10 * time.Millisecond)
	return s.Store.Transact(ctx, ops)
}

// spent is the units since the last call.
func (s *billed) spent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.units
	s.units = 0
	return n
}

// TestWhatCommitsCost: 64 partitions cost one unit, 100,000 of a group of 64 members, each with what the assignor gave it, at most 400 a
// second if they are committed every 5 s.
func TestWhatCommitsCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := &billed{Store: mem.New()}
		l := lead(t, facts, 1)
		defer l.Close()
		topic := uuid.UUID{7}
		commit := func(parts []int32, offset int64, done func(error)) {
			r := Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{}}
			for _, p := range parts {
				r.Offsets[Partition{topic, p}] = records.GroupOffset{Offset: 1e12 + offset*int64(p), Epoch: 100_000, At: time.Now().Unix()}
			}
			l.Commit("g", r, done)
		}
		must := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		row := make([]int32, 64)
		for i := range row {
			row[i] = int32(i)
		}
		for range 2 { // the first makes the page
			time.Sleep(time.Second)
			facts.spent()
			must(answer(func(done func(error)) { commit(row, 1, done) }))
		}
		if n := facts.spent(); n != 1 {
			t.Errorf("64 partitions cost %d units", n)
		}
		s := Spec{Topics: []SpecTopic{{topic, 100_000}}}
		for i := range 64 {
			s.Members = append(s.Members, SpecMember{ID: fmt.Sprintf("%02d", i), Topics: []uuid.UUID{topic}})
		}
		shares := Assign(Uniform, s)
		for round := range int64(4) {
			begun := time.Now()
			var wg sync.WaitGroup
			for _, share := range shares {
				time.Sleep(5 * time.Second / 64) // nobody keeps step
				wg.Add(1)
				commit(share[topic], round, func(err error) { must(err); wg.Done() })
			}
			wg.Wait()
			time.Sleep(time.Until(begun.Add(5 * time.Second)))
			if n := facts.spent(); round > 0 && n > 5*400 {
				t.Errorf("100,000 partitions cost %d units in 5 s", n)
			} else {
				t.Logf("round %d: %d units", round, n)
			}
		}
	})
}
