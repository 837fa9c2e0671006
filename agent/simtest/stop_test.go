package simtest

import (
	"strings"
	"testing"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/records"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// A start that is called off while its slots are being opened closes its session: the next one need not wait for a TTL.
func TestStopWhileOpening(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.createTopic("orders", 4)
	acked := w.produce(w.client(), "orders", 0, 50)
	w.crash()

	asked := make(chan struct{}, 1000)
	w.plans = func() (o objfault.Plan, f factfault.Plan) {
		o.Hook = func(op objfault.Op, key string) objfault.Action {
			if op != objfault.Get || strings.Contains(key, "_start") {
				return objfault.Action{}
			}
			select {
			case asked <- struct{}{}:
			default:
			}
			return objfault.Action{Do: objfault.Fail}
		}
		return o, f
	}
	r := w.launch(w.addr)
	<-asked // it replays
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	cluster := records.Cluster(agent.DefaultConfig().Cluster)
	item, err := w.facts.Get(t.Context(), cluster.AgentKey("a"), metastore.Consistent)
	if err != nil {
		t.Fatal(err)
	}
	a, err := records.DecodeAgent(item)
	if err != nil {
		t.Fatal(err)
	}
	if item, err = w.facts.Get(t.Context(), cluster.SessionKey(a.Session), metastore.Consistent); err != nil {
		t.Fatal(err)
	}
	if s, err := records.DecodeSession(item); err != nil || s.State != records.Closed {
		t.Errorf("the session is left as %+v, %v", s, err)
	}
	w.plans = nil
	w.start()
	expectEqual(t, w.consume("orders", len(acked)), acked)
}
