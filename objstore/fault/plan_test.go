package fault_test

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/objstore/fault"
)

func TestParsePlan(t *testing.T) {
	v, err := url.ParseQuery("delay=250ms&jitter=50ms&rate=50MiB&error=0.01&lost=0.02&throttle=0.05&seed=7&stall=0.001" +
		"&stallfor=1m&late=0.03&latefor=2m&burst=15s&put.delay=1s&get.flip=0.5&delete.partial=1&refuse=0.1&twice=0.2")
	if err != nil {
		t.Fatal(err)
	}
	got, err := fault.ParsePlan(v)
	if err != nil {
		t.Fatal(err)
	}
	all := fault.Rates{Delay: 250 * time.Millisecond, Jitter: 50 * time.Millisecond, Error: 0.01, Lost: 0.02, Throttle: 0.05,
		Stall: 0.001, StallFor: time.Minute, Late: 0.03, LateFor: 2 * time.Minute, Refuse: 0.1, Twice: 0.2}
	want := fault.Plan{Seed: 7, Bandwidth: 50 << 20, Burst: 15 * time.Second, Rates: fault.All(all)}
	want.Rates[fault.Put].Delay = time.Second
	want.Rates[fault.Get].Flip = 0.5
	want.Rates[fault.Delete].Partial = 1
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if p, err := fault.ParsePlan(nil); err != nil || p.Seed != 1 || p.Bandwidth != 0 || p.Rates[fault.Put].Error != 0 {
		t.Errorf("no parameters: %+v, %v", p, err)
	}
}

func TestParsePlanRefuses(t *testing.T) {
	for _, q := range []string{
		"delay=5", "delay=-1s", "jitter=x", "error=2", "error=-0.1", "error=NaN", "rate=0", "rate=x", "seed=-1", "nope=1",
		"put.nope=1", "nope.delay=1s", "put.seed=1", "burst=1", ".delay=1s", "rate=1e30B",
	} {
		v, err := url.ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(q, "=")
		if p, err := fault.ParsePlan(v); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %+v, %v, want an error that names it", q, p, err)
		}
	}
}
