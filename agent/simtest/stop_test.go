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

// A start that is called off closes its session, wherever it stands: the next one need not wait for a TTL.
func TestStopWhileStarting(t *testing.T) {
	for _, x := range []struct {
		what  string
		stuck func(key string) bool
		state records.State
	}{
		{"its number is compared with the bucket", func(key string) bool { return strings.Contains(key, "_start") }, records.Drained},
		{"its slots are being opened", func(key string) bool { return !strings.Contains(key, "_start") }, records.Closed},
	} {
		t.Run(x.what, func(t *testing.T) { stopWhile(t, x.stuck, x.state) })
	}
}

// stopWhile stops a start that reads what is stuck; its session has to be in a state then.
func stopWhile(t *testing.T, stuck func(key string) bool, state records.State) {
	w := newWorld(t)
	w.start()
	w.createTopic("orders", 4)
	acked := w.produce(w.client(), "orders", 0, 50)
	w.crash()

	asked := make(chan struct{}, 1000)
	w.plans = func() (o objfault.Plan, f factfault.Plan) {
		o.Hook = func(op objfault.Op, key string) objfault.Action {
			if op != objfault.Get || !stuck(key) {
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
	<-asked
	r.stop()
	if err := r.wait(); err != nil {
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
	if s, err := records.DecodeSession(item); err != nil || s.State != state {
		t.Errorf("the session is left as %+v, %v", s, err)
	}
	w.plans = nil
	w.start()
	expectEqual(t, w.consume("orders", len(acked)), acked)
}
