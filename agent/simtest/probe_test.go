package simtest

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/agent/probe"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// An agent refuses to start on stores that lie, and leaves nothing behind on them but what the lie keeps it from removing.
func TestLyingStoresAreRefused(t *testing.T) {
	for name, lie := range map[string]func(*world){
		"metastore":    func(w *world) { w.facts = factfault.Liar(w.facts, factfault.NoConditions) },
		"object store": func(w *world) { w.objects = objfault.Liar(w.objects, objfault.IgnoredSuffix) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.change = func(c *agent.Config) { c.Exclusive = false }
			lie(w)
			r := w.launch(w.addr)
			select {
			case <-r.done:
				if !errors.Is(r.err, probe.ErrLies) {
					t.Errorf("the agent ended with %v", r.err)
				}
			case <-r.agent.Ready():
				t.Error("the agent serves")
				w.running = r
			}
			r.stop()
			left, err := w.objects.List(t.Context(), "", "", 0)
			if err != nil || len(left) > 0 {
				t.Errorf("objects left: %v, %v", left, err)
			}
		})
	}
}

// A store that only fails a check that no record depends on is served, and the metric says so.
func TestProbeIsAMetric(t *testing.T) {
	w := newWorld(t)
	w.change = func(c *agent.Config) { c.Probe, c.HTTP = true, "127.0.0.1:0" }
	w.objects = objfault.Liar(w.objects, objfault.EmptyList)
	w.start()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + w.running.agent.Addresses().HTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`varve_store_probe{check="metastore-create"} 1`, `varve_store_probe{check="store-bytes"} 1`, `varve_store_probe{check="store-list"} 0`} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	if o, err := w.objects.Get(t.Context(), "varve/_start/0000000000000001", objstore.Range{}); err != nil {
		t.Errorf("the start left no mark: %v, %v", o, err)
	}
	w.stop()
}
