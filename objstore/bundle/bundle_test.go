package bundle

import (
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/uuid"
)

func TestHeader(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for k := WAL; k <= DATA; k++ {
		h := Header{Kind: k, Flags: 0x5a, Cluster: randomUUID(rng), Session: randomUUID(rng), Seq: rng.Uint64()}
		b := AppendHeader([]byte("before"), h)[6:]
		if len(b) != HeaderLen {
			t.Fatal(len(b))
		}
		if got, err := ParseHeader(b); err != nil || got != h {
			t.Fatal(got, err)
		}
		for i := range b {
			if _, err := ParseHeader(b[:i]); !errors.Is(err, ErrShort) {
				t.Fatal("cut at", i, err)
			}
			b[i] ^= 0x10
			if _, err := ParseHeader(b); !errors.Is(err, ErrCorrupt) {
				t.Fatal("flipped", i, err)
			}
			b[i] ^= 0x10
		}
	}
	b := AppendHeader(nil, Header{Kind: WAL})
	b[0] = 'X'
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	if _, err := ParseHeader(b); !errors.Is(err, ErrCorrupt) {
		t.Fatal("another magic with a right CRC:", err)
	}
	if _, err := ParseHeader(AppendHeader(nil, Header{Kind: DATA + 1})); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
	if _, err := ParseHeader(AppendHeader(nil, Header{})); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestRoundTripOfRandomFooters(t *testing.T) {
	for seed := range uint64(600) {
		rng := rand.New(rand.NewPCG(seed, 2))
		kind := 1 + Kind(rng.IntN(5))
		f, pos := randomFooter(rng, kind)
		if err := f.Check(kind, pos); err != nil {
			t.Fatal(seed, err)
		}
		b := object(Header{Kind: kind}, f, pos)
		if len(b) != int(pos)+FooterSize(f) {
			t.Fatalf("seed %d: %d bytes appended, FooterSize says %d", seed, len(b)-int(pos), FooterSize(f))
		}
		tail := b[rng.IntN(int(pos)+1):]
		got, k, err := ParseTail(tail, int64(len(b)))
		if err != nil || k != kind {
			t.Fatal(seed, k, err)
		}
		if !reflect.DeepEqual(got, f) {
			t.Fatalf("seed %d: %+v\nnot %+v", seed, got, f)
		}
		at, n, k, err := Locate(b[len(b)-TrailerLen:], int64(len(b)))
		if err != nil || at != pos || k != kind || n != int64(FooterSize(f)-TrailerLen) {
			t.Fatal(seed, at, n, k, err)
		}
		if _, _, err := ParseTail(b[pos+1:], int64(len(b))); !errors.Is(err, ErrShort) && n > 0 {
			t.Fatal(seed, err)
		}
		report, err := Verify(b)
		if err != nil || !reflect.DeepEqual(report.Footer, f) || report.FooterPos != pos || report.BodyBytes != pos-HeaderLen {
			t.Fatal(seed, err)
		}
		sum := int64(0)
		for _, s := range report.Sections {
			if s.Len == 0 || le.Uint16(b[s.Pos-secHead:]) != s.Type {
				t.Fatal(seed, s)
			}
			sum += secHead + int64(s.Len)
		}
		if sum != n || report.RunBytes > report.BodyBytes {
			t.Fatal(seed, sum, n)
		}
	}
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		f, pos := randomFooter(rng, WAL)
		buf := make([]byte, 0, int(pos)+FooterSize(f))
		if n := testing.AllocsPerRun(10, func() {
			b := AppendHeader(buf, Header{Kind: WAL})
			AppendFooter(b[:pos], WAL, f)
			if f.Check(WAL, pos) != nil {
				t.Fatal("check")
			}
		}); n != 0 {
			t.Fatal(n, "allocations")
		}
	}
	if n := testing.AllocsPerRun(10, func() { NewDigest(uuid.UUID{1}, 2, 3, 4).Add(5).Add(6) }); n != 0 {
		t.Fatal(n, "allocations by the digest")
	}
}

// TestParseAllocatesLittle wants one allocation per section (two where strings or lists hang on rows) and the footer.
func TestParseAllocatesLittle(t *testing.T) {
	for seed := range uint64(20) {
		f, pos := randomFooter(rand.New(rand.NewPCG(seed, 4)), SNAP)
		b := object(Header{Kind: SNAP}, f, pos)
		if n := testing.AllocsPerRun(10, func() {
			if _, _, err := ParseTail(b[pos:], int64(len(b))); err != nil {
				t.Fatal(err)
			}
		}); n > 14 {
			t.Fatal(n, "allocations")
		}
	}
}

func TestCutAtEveryByte(t *testing.T) {
	for _, kind := range []Kind{WAL, PACK, SEG, SNAP} {
		f, pos := randomFooter(rand.New(rand.NewPCG(5, uint64(kind))), kind)
		b := object(Header{Kind: kind}, f, pos)
		for i := range b {
			if _, err := Verify(b[:i]); err == nil {
				t.Fatal("cut at", i, "passes")
			}
			if _, _, err := ParseTail(b[i:], int64(len(b))); (err == nil) != (int64(i) <= pos) || err != nil && !errors.Is(err, ErrShort) {
				t.Fatal("tail from", i, err)
			}
			if _, _, err := ParseTail(b[:i], int64(i)); !errors.Is(err, ErrCorrupt) {
				t.Fatal("shorter object", i, err)
			}
		}
	}
}

func TestFlipEveryByte(t *testing.T) {
	for _, kind := range []Kind{WAL, PACK, SEG, SNAP} {
		f, pos := randomFooter(rand.New(rand.NewPCG(6, uint64(kind))), kind)
		b := object(Header{Kind: kind}, f, pos)
		for i := range b {
			if i >= HeaderLen && i < int(pos) {
				continue // the body has its own CRCs
			}
			for bit := range 8 {
				b[i] ^= 1 << bit
				if _, err := Verify(b); err == nil {
					t.Fatalf("byte %d, bit %d", i, bit)
				}
				b[i] ^= 1 << bit
			}
		}
		if _, err := Verify(b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBatchesOf(t *testing.T) {
	f := &Footer{Batches: make([]Batch, 5)}
	f.Batches[3].Len = 7
	if got := f.BatchesOf(&Run{FirstBatch: 3, Batches: 2}); len(got) != 2 || got[0].Len != 7 || cap(got) != 2 {
		t.Fatal(got)
	}
	for _, r := range []Run{{FirstBatch: 4, Batches: 2}, {FirstBatch: 1 << 31, Batches: 1 << 31}, {FirstBatch: 6}, {FirstBatch: ^uint32(0), Batches: ^uint32(0)}} {
		if got := f.BatchesOf(&r); got != nil {
			t.Fatal(r, got)
		}
	}
	if got := new(Footer).BatchesOf(&Run{Batches: 1}); got != nil {
		t.Fatal(got)
	}
}

func TestDigestTellsRunsApart(t *testing.T) {
	topic := uuid.UUID{1, 2, 3}
	seen := map[Digest]int{}
	for i, d := range []Digest{
		RunDigest(topic, 1, 2, 3, 10, 11),
		RunDigest(uuid.UUID{1, 2, 4}, 1, 2, 3, 10, 11),
		RunDigest(topic, 2, 2, 3, 10, 11),
		RunDigest(topic, 1, 3, 3, 10, 11),
		RunDigest(topic, 1, 2, 4, 10, 11),
		RunDigest(topic, 1, 2, 3, 11, 10),
		RunDigest(topic, 1, 2, 3, 10),
		RunDigest(topic, 1, 2, 3, 10, 11, 0),
	} {
		if j, ok := seen[d]; ok {
			t.Fatal(i, "is", j)
		}
		seen[d] = i
	}
}

func TestNames(t *testing.T) {
	for k := WAL; k <= DATA; k++ {
		if got, err := ParseKind(k.String()); err != nil || got != k {
			t.Error(k, got, err)
		}
	}
	for k := OpSlotOpen; k <= OpLogStart; k++ {
		if got, err := ParseOpKind(k.String()); err != nil || got != k {
			t.Error(k, got, err)
		}
	}
	if _, err := ParseKind("kind(9)"); err == nil || Kind(9).String() != "kind(9)" {
		t.Error("kind(9)")
	}
	if _, err := ParseOpKind(""); err == nil || OpKind(9).String() != "op(9)" {
		t.Error("op(9)")
	}
}
