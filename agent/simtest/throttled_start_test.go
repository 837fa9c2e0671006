package simtest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// burst throttles all that an agent asks of one of its stores, from its request number from on, for longer than a read repeats
// itself.
type burst struct {
	from, asked, until atomic.Int64
}

const burstTime = time.Second

func (b *burst) throttles() bool {
	if b.asked.Add(1) == b.from.Load()+1 {
		b.until.Store(time.Now().Add(burstTime).UnixNano())
	}
	return time.Now().UnixNano() < b.until.Load()
}

// A start that a store throttles for a while, from whichever of its requests on, takes that much longer: it does not give up, and
// serves what was acked.
func TestThrottledStarts(t *testing.T) {
	none := int64(-2)
	worlds, objects, facts := []*world{}, []*burst{}, []*burst{}
	begin := func(fromObject, fromFact int64) {
		w, o, f := newWorld(t), &burst{}, &burst{}
		o.from.Store(fromObject)
		f.from.Store(fromFact)
		w.change = func(c *agent.Config) { c.StopTime = 10 * time.Millisecond }
		w.start()
		w.createTopic("orders", 4)
		w.produce(w.client(), "orders", 0, 50)
		w.crash()
		w.plans = func() (op objfault.Plan, fp factfault.Plan) {
			op.Hook = func(objfault.Op, string) (a objfault.Action) {
				if o.throttles() {
					a = objfault.Action{Do: objfault.Fail, Err: objstore.ErrThrottled}
				}
				return a
			}
			fp.Hook = func(factfault.Call) (a factfault.Action) {
				if f.throttles() {
					a = factfault.Action{Do: factfault.Fail, Err: metastore.ErrThrottled}
				}
				return a
			}
			return op, fp
		}
		worlds, objects, facts = append(worlds, w), append(objects, o), append(facts, f)
	}
	begin(none, none)
	worlds[0].start()
	numObjects, numFacts := objects[0].asked.Load(), facts[0].asked.Load()
	if numObjects < 5 || numFacts < 20 {
		t.Fatalf("a start asked %d times for objects and %d times for facts: what does this test walk over?", numObjects, numFacts)
	}
	for n := range numObjects {
		begin(n, none)
	}
	for n := range numFacts {
		begin(none, n)
	}
	for _, w := range worlds[1:] {
		w.running = w.launch(w.addr)
	}
	for i, w := range worlds {
		select {
		case <-w.running.agent.Ready():
		case <-w.running.done:
			t.Fatalf("throttled from object request %d or fact request %d on: the start ended: %v", objects[i].from.Load(), facts[i].from.Load(), w.running.err)
		case <-time.After(30 * time.Second):
			t.Fatalf("throttled from object request %d or fact request %d on: not ready after 30 s", objects[i].from.Load(), facts[i].from.Load())
		}
		w.addr = w.running.agent.Addresses().Kafka
		if got := w.consume("orders", 50); len(got) != 50 {
			t.Errorf("throttled from object request %d or fact request %d on: %d of 50 records", objects[i].from.Load(), facts[i].from.Load(), len(got))
		}
	}
	t.Logf("%d starts", len(worlds))
}
