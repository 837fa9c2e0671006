package client

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseWhen(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]When{
		"earliest": Earliest(), "latest": Latest(), "0": AtOffset(0), "123": AtOffset(123), "-5": Last(5), "-0": Last(0),
		"@2026-11-01T12:00Z": At(noon), "@2026-11-01T12:00": At(noon), "@2026-11-01T13:00:00+01:00": At(noon),
		"@2026-11-01T12:00:00.000Z": At(noon), "@2026-11-01": At(noon.Add(-12 * time.Hour)), "@1793534400000": At(noon),
		"-1h": Ago(time.Hour), "-1h30m": Ago(90 * time.Minute), "-7d": Ago(168 * time.Hour), "-1d2h": Ago(26 * time.Hour),
	} {
		got, err := ParseWhen(in)
		if err != nil || got != want {
			t.Errorf("ParseWhen(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-", "--5", "+5", "-+5", "@", "@noon", "@-5", "5h", "-h", "--1h", "-1x", "yesterday", "1.5", "-99999d1h", "-65535d2562047h", "Latest"} {
		if w, err := ParseWhen(in); !errors.Is(err, ErrWhen) {
			t.Errorf("ParseWhen(%q) = %v, %v; want ErrWhen", in, w, err)
		}
	}
}

func TestWhenStringParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "n")
		w := rapid.SampledFrom([]When{Earliest(), Latest(), AtOffset(n), Last(n), At(time.UnixMilli(n >> 8)),
			Ago(time.Duration(n >> 8))}).Draw(t, "when")
		got, err := ParseWhen(w.String())
		if err != nil || got != w {
			t.Fatalf("ParseWhen(%q) = %v, %v", w.String(), got, err)
		}
	})
}

func TestResolve(t *testing.T) {
	b := Bounds{Partition: 3, Start: 10, End: 20}
	at := map[int32]int64{3: 15}
	for _, c := range []struct {
		when  When
		want  int64
		moved bool
	}{
		{Earliest(), 10, false}, {Latest(), 20, false}, {AtOffset(12), 12, false}, {AtOffset(20), 20, false},
		{AtOffset(5), 10, true}, {AtOffset(25), 20, true}, {Last(3), 17, false}, {Last(30), 10, false}, {Last(0), 20, false},
		{At(time.UnixMilli(1)), 15, false}, {Ago(time.Second), 15, false},
	} {
		if got, moved := c.when.resolve(b, at); got != c.want || moved != c.moved {
			t.Errorf("%v in %v: %d, %v; want %d, %v", c.when, b, got, moved, c.want, c.moved)
		}
	}
}
