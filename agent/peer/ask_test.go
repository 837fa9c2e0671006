package peer

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asks returns how long Ask took, of at most a second.
func (a *agent) asks() time.Duration {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	begun := time.Now()
	a.Ask(ctx)
	return time.Since(begun)
}

// Who is there answers at once, however many ask, and they share a question; who is not keeps those who ask until they give up.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b, c := n.agent(t, "a", 1), n.agent(t, "b", 2), n.agent(t, "c", 3)
		if took := a.asks(); took != 0 {
			t.Errorf("without links: %v", took)
		}
		wire(a, b, c)
		time.Sleep(settled + a.cfg.Ping/2)
		pings := func() (n uint64) {
			for _, l := range a.Mesh.mu.links {
				n += l.pings.Load()
			}
			return n
		}
		together := func(want time.Duration) {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if took := a.asks(); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
				})
			}
			wg.Wait()
		}
		together(0)
		n.cut(true) // nobody hears
		before := pings()
		together(time.Second)
		if got := pings() - before; got > 2*2 { // one for them, one at the tick
			t.Errorf("100 questions at once sent %d pings to 2 agents", got)
		}
		n.cut(false)
		time.Sleep(10 * time.Second)
		a.expectLinks(b, c)
		if took := a.asks(); took != 0 {
			t.Errorf("after the cut: %v", took)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(time.Millisecond)
			b.kill()
		})
		n.cut(true)
		if took := a.asks(); took != time.Second {
			t.Errorf("one died meanwhile: %v", took)
		}
		n.cut(false)
		wg.Wait()
		time.Sleep(10 * time.Second)
		a.expectLinks(c)
		c.kill()
		a.expectLinks() // the link is out of its place; whether anybody was told does not matter
		if took := a.asks(); took != time.Second {
			t.Errorf("one was lost just before: %v", took)
		}
		if took := a.asks(); took != 0 {
			t.Errorf("one was lost a second ago: %v", took)
		}
		a.kill()
	})
}

// The pong of a ping that was sent before somebody asked is no answer, though both pings are of one moment.
func TestAskIsNotAnsweredByAnEarlierPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newNetwork().agent(t, "a", 1)
		defer a.kill()
		l := newLink(a.Mesh, nil, Identity{}, true)
		ping := func(tick bool) []byte {
			buf := l.next(nil, tick)
			if len(buf) != headerLen+8 {
				t.Fatalf("%d bytes instead of a ping", len(buf))
			}
			return buf[headerLen:]
		}
		pong := func(payload []byte) {
			if err := l.handle(kindPong, payload); err != nil {
				t.Fatal(err)
			}
		}
		answered := func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		pong(binary.LittleEndian.AppendUint64(nil, 0)) // of none at all
		before := ping(true)
		asked := l.ask()
		after := ping(false)
		if pong(before); answered(asked) {
			t.Fatal("answered by the pong of a ping that was sent before")
		}
		if pong(after); !answered(asked) {
			t.Fatal("not answered")
		}
	})
}
