//go:build e2e && churn

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestChurn: a cluster whose log is rewritten within seconds and kept for a minute. Agents are killed, stopped and started, topics come and
// go, records are trimmed, segments are asked for. At the end a topic that keeps everything has everything, the check finds nothing, and once
// the grace has passed the bucket holds what the table names, and nothing else: agents alone have seen to that.
func TestChurn(t *testing.T) {
	seed := setting(t, "VARVE_SEED", uint64(time.Now().UnixNano()))
	length := time.Duration(setting(t, "VARVE_CHURN_SECONDS", 600)) * time.Second
	t.Logf("again: VARVE_SEED=%d VARVE_CHURN_SECONDS=%d", seed, int(length.Seconds()))
	c := &churn{rand: rand.New(rand.NewPCG(seed, 0)), fleet: newFleet(t, 3, "--pack-interval", "1s", "--segment-roll", "4s", "--gc-grace", "5s",
		"--sweep-interval", "10s", "--set", "log.retention.check.interval.ms=1000")}
	const partitions = 6
	addr := c.agents[0].addr
	createTopic(t, addr, "kept", partitions)
	createTopic(t, addr, "short", partitions)
	alter(t, addr, "short", "retention.ms", "60000")
	kept := startLoadEvery(t, 20*time.Millisecond, addr, "kept", partitions, kgo.SeedBrokers(c.seeds()...))
	short := startLoad(t, addr, "short", partitions, kgo.SeedBrokers(c.seeds()...))
	for begun := time.Now(); time.Since(begun) < length; {
		c.passing(t)
		time.Sleep(time.Duration(10+c.rand.IntN(10)) * time.Second)
		c.strike(t)
		kept.outage(t, time.Minute)
		short.outage(t, time.Minute)
	}
	kept.finish(t)
	short.finish(t)
	kept.check(t, addr, "kept")
	t.Logf("%d kills, %d stops, %d topics; %d and %d records were acked", c.kills, c.stops, c.topics, kept.count(), short.count())
	c.settle(t)
	for range 2 { // what sessions that lived had left is found when they have ended
		for _, a := range c.agents {
			a.stop(t)
		}
		for _, a := range c.agents {
			a.start(t)
		}
		c.settle(t)
	}
	kept.check(t, addr, "kept")
	for _, a := range c.agents {
		a.stop(t)
	}
	c.only(t, "")
}

// churn is a cluster and what happened to it.
type churn struct {
	*fleet
	rand                 *rand.Rand
	kills, stops, topics int
}

// passing makes a topic, writes to it for a while, and deletes it.
func (c *churn) passing(t *testing.T) {
	c.topics++
	name, addr := fmt.Sprintf("passing-%d", c.topics), c.agents[0].addr
	createTopic(t, addr, name, 4)
	l := startLoad(t, addr, name, 4, kgo.SeedBrokers(c.seeds()...))
	time.Sleep(time.Duration(2+c.rand.IntN(6)) * time.Second)
	l.finish(t)
	if c.rand.IntN(2) == 0 {
		c.ok(t, "segment", "compact", name, "--now")
	}
	c.ok(t, "topic", "delete", name, "--yes")
}

// strike takes an agent down, one way or the other, and starts it again.
func (c *churn) strike(t *testing.T) {
	a := c.agents[c.rand.IntN(len(c.agents))]
	if c.rand.IntN(4) == 0 {
		c.stops++
		a.stop(t)
	} else {
		c.kills++
		a.kill(t)
	}
	time.Sleep(time.Duration(c.rand.IntN(3000)) * time.Millisecond)
	a.start(t)
}

// settle waits until nothing is left behind, as a look from outside tells: the check finds nothing, and there is nothing to delete.
func (c *churn) settle(t *testing.T) {
	t.Helper()
	begun := time.Now()
	for {
		code, out, text := c.on(t, "", "segment", "gc", "--dry-run", "--rate", "0", "--settle", "0s", "-o", "json")
		var left struct{ Objects, Orphans, Early int }
		if err := json.Unmarshal([]byte(out), &left); code != 0 || err != nil {
			t.Fatalf("exit %d: %v\n%s%s", code, err, out, text)
		}
		all := c.classes(t, "")
		if left.Objects == 0 && len(all) == 0 {
			t.Logf("nothing is left %v after the last record", time.Since(begun).Round(time.Second))
			return
		}
		if time.Since(begun) > 5*time.Minute {
			t.Fatalf("after %v: %s; found %q", time.Since(begun).Round(time.Second), out, all)
		}
		time.Sleep(5 * time.Second)
	}
}
