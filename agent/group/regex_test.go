package group

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestRegexBounds(t *testing.T) {
	for _, c := range []struct {
		expr string
		work int // bytes of names
		ok   bool
	}{
		{"orders-.*", 10_000_000, true},
		{"(?i)orders|[a-z0-9._-]+-(eu|us)", 1_000_000, true},
		{strings.Repeat("a", maxRegexBytes), 1000, true},
		{strings.Repeat("a", maxRegexBytes+1), 1000, false},
		{"a{1000}", 1000, true},
		{strings.Repeat("a{1000}", 20), 1000, false}, // 20,000 steps out of 140 bytes
		{"(((a{10}){10}){10}b{900}){1}" + strings.Repeat("c{999}", 9), 1000, false},
		{"a{1000}", 100_000_000, false},
		{"((a{50}){50}){50}", 1000, false},
		{"(a*)*b", 1000, true}, // exponential where expressions are matched by trying
		{`(\w+)\1`, 1000, false},
		{"a(?!b)", 1000, false},
		{"[a", 1000, false},
	} {
		_, _, err := compileRegex(c.expr, c.work)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRegex) {
			t.Errorf("%.30q on %d bytes: %v", c.expr, c.work, err)
		}
	}
}

// TestRegexIsWhole: an expression matches a whole name, and cannot break out of what holds it.
func TestRegexIsWhole(t *testing.T) {
	for _, c := range []struct {
		expr, name string
		want       bool
	}{
		{"orders", "orders", true},
		{"orders", "orders-eu", false},
		{"rders", "orders", false},
		{"a|b", "ab", false},
		{"a|b", "b", true},
		{"^a$", "a", true},
		{"(?i)A", "a", true},
		{"a\nb", "a", false},
	} {
		re, _, err := compileRegex(c.expr, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := re.MatchString(c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.expr, c.name, got)
		}
	}
	if _, _, err := compileRegex("a)|(?:b", 0); !errors.Is(err, ErrRegex) {
		t.Errorf("unbalanced: %v", err)
	}
}

func infos(names ...string) []TopicInfo {
	var all []TopicInfo
	for _, n := range names {
		all = append(all, TopicInfo{Name: n, ID: uuid.NewSHA1(uuid.Nil, []byte(n)), Partitions: 1})
	}
	return all
}

// TestCatalogueWith: what an expression matches is carried from version to version, and is what matching anew would find.
func TestCatalogueWith(t *testing.T) {
	c := NewCatalogue(1, infos("a1", "a2", "b1"))
	first, err := c.match("a.*", true)
	if err != nil || len(first) != 2 {
		t.Fatalf("%v, %v", first, err)
	}
	again := infos("a2")
	again[0].ID[0]++ // deleted and created again
	next := c.With(2, append(infos("a3", "c"), again...), []string{"a1", "never"})
	if len(next.mu.regex) != 1 {
		t.Errorf("%d expressions are carried on", len(next.mu.regex))
	}
	got, _ := next.match("a.*", true)
	var all []TopicInfo
	for _, topic := range next.names {
		all = append(all, topic)
	}
	fresh := NewCatalogue(2, all)
	want, _ := fresh.match("a.*", true)
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 2 {
		t.Errorf("carried on: %v, anew: %v", got, want)
	}
	if next.Version() != 2 || next.bytes != fresh.bytes || len(next.ids) != len(next.names) {
		t.Errorf("version %d, %d bytes, not %d; %d ids, %d names", next.Version(), next.bytes, fresh.bytes, len(next.ids), len(next.names))
	}
	if kept, _ := c.match("a.*", true); fmt.Sprint(kept) != fmt.Sprint(first) {
		t.Error("the version before has changed")
	}
	for i := range keptRegexes + 10 {
		if _, err := c.match(fmt.Sprintf("x%d", i), true); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.mu.regex) > keptRegexes {
		t.Errorf("%d expressions are remembered", len(c.mu.regex))
	}
}

// TestRegexMemory: whoever tries one large expression after the other does not fill the memory with them.
func TestRegexMemory(t *testing.T) {
	c := NewCatalogue(1, infos("a", "b"))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range 200 { // 68 MiB
		if _, err := c.match(fmt.Sprintf("%d%s", i, strings.Repeat(`\pL`, 26)), true); err != nil {
			t.Fatal(err)
		}
	}
	if took := heap() - before; took > keptRegexBytes {
		t.Errorf("%d MiB", took>>20)
	}
	sum := func(c *Catalogue) (n int) {
		for _, m := range c.mu.regex {
			n += m.bytes()
		}
		return n
	}
	if next := c.With(2, infos("c"), []string{"a"}); c.mu.bytes != sum(c) || next.mu.bytes != sum(next) || sum(next) == 0 {
		t.Errorf("%d bytes counted of %d; then %d of %d", c.mu.bytes, sum(c), next.mu.bytes, sum(next))
	}
}

// TestAssignInterval: a big group is assigned at most once per interval; the last change is not forgotten.
func TestAssignInterval(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	topics := infos("t")
	topics[0].Partitions = assignAtOnce
	g := NewConsumer(ConsumerBounds{Session: time.Minute, MaxMembers: 1000, MaxBytes: 1 << 20, AssignInterval: time.Second}, NewCatalogue(1, topics))
	join := func(i int) {
		g.Step(ConsumerBeat{Member: fmt.Sprint(i), Names: []string{"t"}, Owned: Parts{}, Rebalance: time.Minute}, now)
	}
	for i := range 100 {
		join(i)
	}
	if g.epoch != 100 || g.targetEpoch != 1 || g.State() != "Assigning" {
		t.Errorf("after 100 joins: epoch %d, target %d, %s", g.epoch, g.targetEpoch, g.State())
	}
	if next := g.Next(); !next.Equal(now.Add(time.Second)) {
		t.Errorf("the next tick is at %v, not one second after %v", next, now)
	}
	now = g.Next()
	if out := g.Step(Tick{}, now); !out.Save || g.targetEpoch != 100 {
		t.Errorf("after the interval: target %d, %+v", g.targetEpoch, out)
	}
	if n := g.Describe().Members[0].Target.Len(); n != assignAtOnce/100 {
		t.Errorf("a member shall have %d partitions", n)
	}
}
