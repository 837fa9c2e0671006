package wal

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/varvelog/varve/objstore/bundle"
)

// TestOneCopy: what goes to the store, to a hedge of it, and to the sink is one piece of memory, of which a batch's bytes are copied
// once, and no larger than header, batches and footer.
func TestOneCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, size = 30, 10_000
		r := newRig(t, nil)
		var sent []*byte
		var lengths []int
		r.objects.body = func(b []byte) {
			sent, lengths = append(sent, unsafe.SliceData(b)), append(lengths, len(b))
			if !bytes.Contains(b, make([]byte, size)) {
				t.Error("a PUT without the batch")
			}
		}
		slow := make(chan struct{}, 1)
		var took atomic.Int64 // ns; snapshots are PUT beside bundles
		took.Store(int64(time.Second))
		r.objects.put = func(context.Context, string) error {
			select {
			case <-slow:
				time.Sleep(5 * time.Second) // which a hedge overtakes
			default:
				time.Sleep(time.Duration(took.Add(int64(-time.Millisecond)))) // ever faster, so that none is hedged by chance
			}
			return nil
		}
		for i := range n {
			if i == n-1 {
				slow <- struct{}{}
			}
			r.append(i, int32(i), size)
			time.Sleep(10 * time.Second)
		}
		r.end(context.Canceled)
		if len(sent) != n+1 || len(r.sink.bodies) != n {
			t.Fatalf("%d PUTs and %d commits of %d bundles", len(sent), len(r.sink.bodies), n)
		}
		for i, at := range sent {
			k := min(i, n-1)
			if at != r.sink.bodies[k] {
				t.Errorf("PUT %d sends another copy than is committed", i)
			}
			if want := bundle.HeaderLen + len(batch(t, r.next[int32(k)], size)) + bundle.FooterSize(r.sink.footers[k]); lengths[i] != want {
				t.Errorf("PUT %d has %d bytes, want %d", i, lengths[i], want)
			}
		}
	})
}
