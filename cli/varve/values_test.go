package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]byteSize{
		"0": 0, "4096": 4096, "8MiB": 8 << 20, "1GiB": 1 << 30, "1.5GB": 1_500_000_000, "512 KiB": 512 << 10, "3kB": 3000, "7B": 7, "0.5MiB": 512 << 10, "1TiB": 1 << 40,
	} {
		if got, err := parseBytes(in); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1", "MiB", "8MiBs", "8 M", "nan", "inf", "1e3", "0x10", "1_000", "99999999TiB", "8MiBMiB", "--8MiB"} {
		if got, err := parseBytes(in); err == nil {
			t.Errorf("parseBytes(%q) = %d, want an error", in, got)
		}
	}
}

func TestSizesParseAsTheyPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := byteSize(rapid.Int64Range(0, 1<<50).Draw(t, "b"))
		if got, err := parseBytes(b.String()); err != nil || got != b {
			t.Fatalf("%d prints as %s, which is %d, %v", int64(b), b, int64(got), err)
		}
	})
	if got := byteSize(8 << 20).String(); got != "8MiB" {
		t.Errorf("8 MiB prints as %s", got)
	}
}

func TestSmallParsers(t *testing.T) {
	for in, want := range map[string]float64{"0": 0, "$12.5": 12.5, "100": 100, "": -1, "-1": -1, "nan": -1, "inf": -1, "1e9": -1, "EUR5": -1} {
		if got, err := parseDollars(in); err == nil && got != want || (err == nil) == (want < 0) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	if d, err := parseDuration("250ms"); err != nil || d != 250*time.Millisecond {
		t.Errorf("250ms: %v, %v", d, err)
	}
	for _, in := range []string{"", "5", "-1s", "1 s"} {
		if d, err := parseDuration(in); err == nil {
			t.Errorf("duration %q is %v", in, d)
		}
	}
	if p, err := parsePair("a=1=2,3"); err != nil || p != (pair{"a", "1=2,3"}) {
		t.Errorf("pair: %+v, %v", p, err)
	}
	for _, in := range []string{"", "a", "=b"} {
		if p, err := parsePair(in); err == nil {
			t.Errorf("pair %q is %+v", in, p)
		}
	}
	if _, err := pairMap([]pair{{"a", "1"}, {"a", "2"}}); exitCode(err) != exitUsage {
		t.Errorf("twice: %v", err)
	}
	if l, err := parseList("a:1,b:2"); err != nil || !slices.Equal(l, []string{"a:1", "b:2"}) {
		t.Errorf("list: %v, %v", l, err)
	}
	if _, err := parseList("a,,b"); err == nil {
		t.Error("an empty part is taken")
	}
	for in, want := range map[string]float64{"100/s": 100, "0.5": 0.5} {
		if r, err := parseRate(in); err != nil || r != want {
			t.Errorf("rate %q: %v, %v", in, r, err)
		}
	}
	for _, in := range []string{"", "0", "-1", "x/s", "10/m"} {
		if r, err := parseRate(in); err == nil {
			t.Errorf("rate %q is %v", in, r)
		}
	}
	for _, in := range []string{"x", "-2", "3000000000"} {
		if p, err := parsePartition(in); err == nil {
			t.Errorf("partition %q is %v", in, p)
		}
	}
}

func TestParseTopics(t *testing.T) {
	got, err := parseTopics("orders:6,audit")
	if err != nil || !slices.Equal(got, []newTopic{{"orders", 6}, {"audit", -1}}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, in := range []string{"", ":3", "a:", "a:0", "a:x", "a:1,", "a:1:2"} {
		if got, err := parseTopics(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}
