package simtest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/objstore"
)

// shifted is an object store whose clock is off.
type shifted struct {
	objstore.Store
	by time.Duration
}

func (s shifted) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	all, err := s.Store.List(ctx, prefix, after, limit)
	for i := range all {
		all[i].Modified = all[i].Modified.Add(s.by)
	}
	return all, err
}

// An agent whose clock is a day off the object store's, either way, says so once, and serves. A few seconds are nobody's business.
func TestClockOff(t *testing.T) {
	for by, want := range map[time.Duration]string{0: "", 20 * time.Second: "", 24 * time.Hour: "is behind the object store's", -24 * time.Hour: "is ahead of the object store's"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, 1)
			defer s.end()
			s.objects = shifted{s.objects, by}
			s.names = s.names[:1]
			s.startAll()
			said := strings.Count(s.seen.play(), "this host's clock")
			if want == "" && said != 0 || want != "" && (said != 1 || !strings.Contains(s.seen.play(), want) || !strings.Contains(s.seen.play(), "by=24h0m0s")) {
				t.Errorf("%v off: it says\n%s", by, s.seen.play())
			}
		})
	}
}
