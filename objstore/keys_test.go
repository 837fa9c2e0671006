package objstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/varvelog/varve/objstore"
)

var (
	idA = uuid.MustParse("0198a1b2-c3d4-7e5f-8a6b-7c8d9eafb0c1")
	idB = uuid.MustParse("f0000000-0000-4000-8000-00000000000b")
)

// TestKeysGolden holds the spelling of keys: objects in a bucket are found by it for ever.
func TestKeysGolden(t *testing.T) {
	k := objstore.Keys{Prefix: "a/b", Cluster: "varve"}
	for _, c := range []struct{ got, want string }{
		{k.Root(), "a/b/varve/"},
		{objstore.Keys{Cluster: "c"}.Root(), "c/"},
		{k.WAL(idA, 0x1f), "a/b/varve/w/d878/0198a1b2-c3d4-7e5f-8a6b-7c8d9eafb0c1/000000000000001f"},
		{k.WALPrefix(idA), "a/b/varve/w/d878/0198a1b2-c3d4-7e5f-8a6b-7c8d9eafb0c1/"},
		{k.Snapshot(idA, 1, idB), "a/b/varve/s/d878/0198a1b2-c3d4-7e5f-8a6b-7c8d9eafb0c1/0000000000000001-f0000000-0000-4000-8000-00000000000b"},
		{k.Data(idA, 2), "a/b/varve/d/d878/0198a1b2-c3d4-7e5f-8a6b-7c8d9eafb0c1/0000000000000002"},
		{k.Pack(idB), "a/b/varve/k/8ce2/f0000000-0000-4000-8000-00000000000b"},
		{k.Segment(idB, 7, 1000, idA), "a/b/varve/t/933e/f0000000-0000-4000-8000-00000000000b/00000007/00000000000003e8-0198a1b2-c3d4-7e5f-8a6b-7c8d9eafb0c1"},
		{k.Start(10), "a/b/varve/_start/000000000000000a"},
		{k.Probe(idB), "a/b/varve/_probe/f0000000-0000-4000-8000-00000000000b"},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

// TestKeysRoundTrip checks that every key parses to what it was built from, and passes CheckKey.
func TestKeysRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := func(name string) (u uuid.UUID) {
			copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
			return u
		}
		k := objstore.Keys{
			Prefix:  rapid.StringMatching(`|[a-z]{1,3}(/[wsktd]|/_start|/_probe){0,3}`).Draw(t, "prefix"),
			Cluster: rapid.StringMatching(`[a-z0-9_-]{1,12}|[wsktd]`).Draw(t, "cluster"),
		}
		a, b := id("a"), id("b")
		seq := rapid.Uint64().Draw(t, "seq")
		part, base := rapid.Int32Min(0).Draw(t, "part"), rapid.Int64Min(0).Draw(t, "base")
		for key, want := range map[string]objstore.Parsed{
			k.WAL(a, seq):               {Keys: k, Kind: "w", Session: a, Seq: seq},
			k.Snapshot(a, seq, b):       {Keys: k, Kind: "s", Session: a, Seq: seq, ID: b},
			k.Data(a, seq):              {Keys: k, Kind: "d", Session: a, Seq: seq},
			k.Pack(b):                   {Keys: k, Kind: "k", ID: b},
			k.Segment(a, part, base, b): {Keys: k, Kind: "t", Topic: a, Partition: part, Base: base, ID: b},
			k.Start(base):               {Keys: k, Kind: "_start", Seq: uint64(base)},
			k.Probe(b):                  {Keys: k, Kind: "_probe", ID: b},
		} {
			got, err := k.Parse(key)
			if err != nil || got != want {
				t.Fatalf("Parse(%q) = %+v, %v, want %+v", key, got, err, want)
			}
			if err := objstore.CheckKey(key); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestKeysOrder checks that a session's keys sort by number and lie under its prefix.
func TestKeysOrder(t *testing.T) {
	k := objstore.Keys{Cluster: "c"}
	last := ""
	for _, seq := range []uint64{0, 1, 9, 10, 15, 16, 255, 256, 1 << 32, 1<<64 - 1} {
		key := k.WAL(idA, seq)
		if key <= last || !strings.HasPrefix(key, k.WALPrefix(idA)) {
			t.Errorf("%q does not follow %q", key, last)
		}
		last = key
	}
}

func TestKeysParseRefuses(t *testing.T) {
	k := objstore.Keys{Prefix: "p", Cluster: "c"}
	wal := k.WAL(idA, 31)
	for _, key := range []string{
		"", "/", "x", "p/c/", "p/c/w", wal + "/", wal + "0", wal[1:], "x" + wal,
		strings.ToUpper(wal), strings.Replace(wal, "d878", "d879", 1),
		strings.Replace(wal, "/w/", "/s/", 1), strings.Replace(wal, "/w/", "/x/", 1),
		wal[:len(wal)-16], wal[:len(wal)-1] + "+", wal[:len(wal)-1],
		k.WALPrefix(uuid.Nil), strings.Replace(wal, "-", "", 1),
		strings.Replace(k.Segment(idA, 1, 1, idB), "/00000001/", "/80000001/", 1),
		strings.TrimPrefix(objstore.Keys{Cluster: "c"}.WAL(idA, 1), "c/"),
		objstore.Keys{Prefix: "q", Cluster: "c"}.WAL(idA, 31),
		objstore.Keys{Cluster: "c"}.WAL(idA, 31),
	} {
		if p, err := k.Parse(key); !errors.Is(err, objstore.ErrKey) {
			t.Errorf("Parse(%q) = %+v, %v, want ErrKey", key, p, err)
		}
	}
}

func TestKeysValidate(t *testing.T) {
	for _, k := range []objstore.Keys{
		{}, {Cluster: "a/b"}, {Cluster: ".."}, {Prefix: "/a", Cluster: "c"}, {Prefix: "a/", Cluster: "c"},
		{Prefix: "a//b", Cluster: "c"}, {Prefix: strings.Repeat("abc/", 250) + "x", Cluster: "c"},
	} {
		if err := k.Validate(); !errors.Is(err, objstore.ErrRefused) {
			t.Errorf("%+v: %v, want ErrRefused", k, err)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for key, want := range map[string]bool{
		"a": true, "a/b": true, "a b/ü/c+d%20&=?#": true, "...": true, ".a": true, strings.Repeat("x", 240): true,
		"": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "../x": false, "a/../b": false,
		"a/.": false, "a\x00b": false, "a\nb": false, "\x7f": false, "\xff": false, strings.Repeat("x", 241): false,
		strings.Repeat("a/", 512) + "x": false,
	} {
		if err := objstore.CheckKey(key); (err == nil) != want || err != nil && !errors.Is(err, objstore.ErrRefused) {
			t.Errorf("CheckKey(%q) = %v, want ok: %v", key, err, want)
		}
	}
}

// FuzzParse checks that whatever parses is spelled as we would spell it.
func FuzzParse(f *testing.F) {
	k := objstore.Keys{Prefix: "p/q", Cluster: "c"}
	for _, s := range []string{k.WAL(idA, 1), k.Snapshot(idA, 2, idB), k.Data(idA, 3), k.Pack(idB), k.Segment(idA, 4, 5, idB),
		k.Start(6), k.Probe(idB), "a/t/w/k/_start", "k/k/k/k/k", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		p, err := objstore.Parse(key)
		if err != nil {
			if !errors.Is(err, objstore.ErrKey) || p != (objstore.Parsed{}) {
				t.Fatalf("Parse(%q) = %+v, %v", key, p, err)
			}
			return
		}
		if p.Key() != key {
			t.Fatalf("%q becomes %q", key, p.Key())
		}
		if again, err := p.Keys.Parse(key); err != nil || again != p {
			t.Fatalf("%q: %+v, then %+v, %v", key, p, again, err)
		}
	})
}
