package bundle

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// wrap makes an object of the given kind whose footer has the given bytes, with a right trailer and CRC.
func wrap(kind Kind, pos int, sections []byte) []byte {
	b := AppendHeader(nil, Header{Kind: kind})
	b = append(b, make([]byte, pos-HeaderLen)...)
	return appendTrailer(append(b, sections...), pos, kind)
}

// sec makes one section.
func sec(typ uint16, body []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, typ)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(body))), body...)
}

// good is a footer with one of everything, for a WAL whose body ends at goodPos.
func good() *Footer {
	return &Footer{
		Topics: []Topic{{ID: uuid.UUID{1}, Name: "orders"}},
		Slots:  []Slot{{Slot: 7, Epoch: 3, Runs: 2}},
		Runs: []Run{
			{Slot: 7, Base: 10, Next: 13, Pos: 64, Len: 150, Batches: 2, Partition: 1},
			{Slot: 7, Base: 0, Next: 1, Pos: 214, Len: 61, Batches: 1, FirstBatch: 2, Partition: 2},
		},
		Batches: []Batch{
			{Len: 70, LastOffsetDelta: 1},
			{PosDelta: 70, Len: 80, OffsetDelta: 2},
			{Len: 61},
		},
		Ops:        []Op{{Kind: OpSlotOpen, Slot: 7, Epoch: 3, Key: "s/key"}, {Kind: OpLogStart, Offset: 4}},
		Objects:    []Object{{Kind: WAL, Size: 1000}},
		Refs:       []Ref{{Here}, {0}},
		Partitions: []Partition{{LogStart: 1, LogEnd: 2, Epochs: 1, Producers: 1}},
		Epochs:     []Epoch{{1, 0}},
		Producers:  []Producer{{ID: 9, Last: make([]Appended, maxAppended)}},
	}
}

const goodPos = 275

func TestCheckRefuses(t *testing.T) {
	if err := good().Check(WAL, goodPos); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Footer){
		"topic without name":         func(f *Footer) { f.Topics[0].Name = "" },
		"name too long":              func(f *Footer) { f.Topics[0].Name = strings.Repeat("a", maxName+1) },
		"name not UTF-8":             func(f *Footer) { f.Topics[0].Name = "a\xff" },
		"slot: first run":            func(f *Footer) { f.Slots[0].FirstRun = 1 },
		"slot: too many runs":        func(f *Footer) { f.Slots[0].Runs = 3 },
		"slot: 2^32-1 runs":          func(f *Footer) { f.Slots[0].Runs = math.MaxUint32 },
		"slot: too few runs":         func(f *Footer) { f.Slots[0].Runs = 1 },
		"slot: run of another":       func(f *Footer) { f.Runs[1].Slot = 8 },
		"run: topic":                 func(f *Footer) { f.Runs[0].Topic = 1 },
		"run: topic 2^32-1":          func(f *Footer) { f.Runs[0].Topic = math.MaxUint32 },
		"run: partition":             func(f *Footer) { f.Runs[0].Partition = -1 },
		"run: base negative":         func(f *Footer) { f.Runs[0].Base = -1 },
		"run: no offsets":            func(f *Footer) { f.Runs[0].Next = 10 },
		"run: next below batches":    func(f *Footer) { f.Runs[0].Next = 12 },
		"run: in the header":         func(f *Footer) { f.Runs[0].Pos = 63 },
		"run: ends in the footer":    func(f *Footer) { f.Runs[0].Pos = 126 },
		"run: pos overflows":         func(f *Footer) { f.Runs[0].Pos = math.MaxUint64 - 10 },
		"run: len":                   func(f *Footer) { f.Runs[0].Len = math.MaxUint32 },
		"run: len off by one":        func(f *Footer) { f.Runs[0].Len = 149 },
		"run: no batches":            func(f *Footer) { f.Runs[0].Batches = 0 },
		"run: batches above bytes":   func(f *Footer) { f.Runs[0].Batches = 3 },
		"run: 2^32-1 batches":        func(f *Footer) { f.Runs[0].Batches = math.MaxUint32 },
		"run: first batch":           func(f *Footer) { f.Runs[0].FirstBatch = 2 },
		"run: first batch 2^32-1":    func(f *Footer) { f.Runs[0].FirstBatch = math.MaxUint32 },
		"batch: pos":                 func(f *Footer) { f.Batches[1].PosDelta = 71 },
		"batch: first pos":           func(f *Footer) { f.Batches[0].PosDelta = 1 },
		"batch: len":                 func(f *Footer) { f.Batches[1].Len = 81 },
		"batch: below a header":      func(f *Footer) { f.Batches[0].Len, f.Batches[1].PosDelta, f.Batches[1].Len = 60, 60, 90 },
		"batch: offsets overlap":     func(f *Footer) { f.Batches[1].OffsetDelta = 1 },
		"batch: offset beyond":       func(f *Footer) { f.Batches[1].LastOffsetDelta = math.MaxUint32 },
		"batches that no run has":    func(f *Footer) { f.Batches = append(f.Batches, Batch{Len: 61}) },
		"refs: one short":            func(f *Footer) { f.Refs = f.Refs[:1] },
		"refs: object":               func(f *Footer) { f.Refs[1].Object = 1 },
		"refs: outside that object":  func(f *Footer) { f.Objects[0].Size = 274 },
		"object: no kind":            func(f *Footer) { f.Objects[0].Kind = 0 },
		"object: size":               func(f *Footer) { f.Objects[0].Size = 63 },
		"object: size 2^63":          func(f *Footer) { f.Objects[0].Size = 1 << 63 },
		"op: no kind":                func(f *Footer) { f.Ops[0].Kind = 0 },
		"op: topic":                  func(f *Footer) { f.Ops[1].Topic = 1 },
		"op: partition":              func(f *Footer) { f.Ops[1].Partition = -1 },
		"op: offset":                 func(f *Footer) { f.Ops[1].Offset = -1 },
		"op: key too long":           func(f *Footer) { f.Ops[0].Key = strings.Repeat("k", maxKey+1) },
		"op: key not UTF-8":          func(f *Footer) { f.Ops[0].Key = "\xc3" },
		"partition: topic":           func(f *Footer) { f.Partitions[0].Topic = 1 },
		"partition: number":          func(f *Footer) { f.Partitions[0].Partition = -1 },
		"partition: start":           func(f *Footer) { f.Partitions[0].LogStart = -1 },
		"partition: end":             func(f *Footer) { f.Partitions[0].LogEnd = 0 },
		"partition: epochs":          func(f *Footer) { f.Partitions[0].Epochs = 2 },
		"partition: 2^32-1":          func(f *Footer) { f.Partitions[0].Producers = math.MaxUint32 },
		"epochs of nobody":           func(f *Footer) { f.Epochs = append(f.Epochs, Epoch{}) },
		"producers of nobody":        func(f *Footer) { f.Partitions = nil },
		"producer: too many batches": func(f *Footer) { f.Producers[0].Last = make([]Appended, maxAppended+1) },
	} {
		f := good()
		change(f)
		if err := f.Check(WAL, goodPos); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Check says %v", name, err)
		}
		b := object(Header{Kind: WAL}, f, goodPos)
		if _, _, err := ParseTail(b, int64(len(b))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: ParseTail says %v", name, err)
		}
	}
}

// TestCheckWithoutIndex is for what the index of batches would have shown too.
func TestCheckWithoutIndex(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Footer)
		want   error
	}{
		"fine":                    {func(f *Footer) {}, nil},
		"batches not counted":     {func(f *Footer) { f.Runs[0].Batches = 0 }, ErrCorrupt},
		"first batch is nothing":  {func(f *Footer) { f.Runs[0].FirstBatch = 77 }, nil},
		"object without body":     {func(f *Footer) { f.Objects = append(f.Objects, Object{Kind: SNAP, Size: HeaderLen}) }, nil},
		"object of 2^63-1":        {func(f *Footer) { f.Objects[0].Size = math.MaxInt64 }, nil},
		"object below its header": {func(f *Footer) { f.Objects = append(f.Objects, Object{Kind: SNAP, Size: HeaderLen - 1}) }, ErrCorrupt},
		"no offsets":              {func(f *Footer) { f.Runs[0].Next = 10 }, ErrCorrupt},
		"offsets fall":            {func(f *Footer) { f.Runs[0].Next = 9 }, ErrCorrupt},
		"base negative":           {func(f *Footer) { f.Runs[0].Base = -1 }, ErrCorrupt},
		"batches above bytes":     {func(f *Footer) { f.Runs[0].Batches = 3 }, ErrCorrupt},
		"no batch fits":           {func(f *Footer) { f.Runs[1].Len, f.Runs[1].Batches = 60, 0 }, ErrCorrupt},
		"ends in the footer":      {func(f *Footer) { f.Runs[0].Pos = 126 }, ErrCorrupt},
	} {
		f := good()
		f.Batches = nil
		c.change(f)
		if err := f.Check(WAL, goodPos); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := good()
	f.Refs[0].Object, f.Runs[0].Batches, f.Runs[1].Batches = 0, 0, 0
	if err := f.Check(SNAP, HeaderLen); !errors.Is(err, ErrCorrupt) {
		t.Error("not counted, but indexed:", err)
	}
	if f.Batches = nil; f.Check(SNAP, HeaderLen) != nil {
		t.Error("a snapshot need not count")
	}
	for pos, want := range map[int64]error{HeaderLen: nil, HeaderLen - 1: ErrCorrupt, -1: ErrCorrupt} {
		if err := new(Footer).Check(WAL, pos); !errors.Is(err, want) {
			t.Error("body ends at", pos, err)
		}
	}
}

func TestNewerRefused(t *testing.T) {
	for name, change := range map[string]func(*Footer){
		"op":     func(f *Footer) { f.Ops[0].Kind = OpLogStart + 1 },
		"object": func(f *Footer) { f.Objects[0].Kind = DATA + 1 },
	} {
		f := good()
		change(f)
		b := object(Header{Kind: WAL}, f, goodPos)
		if _, _, err := ParseTail(b, int64(len(b))); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := object(Header{Kind: WAL}, good(), goodPos)
	le.PutUint16(b[len(b)-16:], Version+1)
	if _, _, err := ParseTail(resum(t, b), int64(len(b))); !errors.Is(err, ErrVersion) {
		t.Error("version in the trailer:", err)
	}
	b = object(Header{Kind: DATA + 1}, good(), goodPos)
	if _, _, err := ParseTail(b, int64(len(b))); !errors.Is(err, ErrVersion) {
		t.Error("kind in the trailer:", err)
	}
}

func TestSnapshotHasNoBody(t *testing.T) {
	f := good()
	if err := f.Check(SNAP, goodPos); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if err := f.Check(SNAP, HeaderLen); !errors.Is(err, ErrCorrupt) {
		t.Fatal("a run in its own body:", err)
	}
	f.Refs[0].Object = 0
	if err := f.Check(SNAP, HeaderLen); err != nil {
		t.Fatal(err)
	}
}

func TestHostileSections(t *testing.T) {
	topic := append(make([]byte, 20), 1, 0, 'a')
	many := append(make([]byte, 10), 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0)
	for name, c := range map[string]struct {
		sections []byte
		want     error
	}{
		"none":                    {nil, nil},
		"empty":                   {sec(secRuns, nil), nil},
		"unknown":                 {append(sec(999, []byte("later")), sec(0, nil)...), nil},
		"unknown, twice":          {append(sec(999, nil), sec(999, nil)...), nil},
		"reserved":                {sec(secTxn, make([]byte, 9)), nil},
		"half a sparse entry":     {sec(secSparse, make([]byte, 7)), ErrCorrupt},
		"sparse index of a wal":   {sec(secSparse, make([]byte, sparseRow)), ErrCorrupt},
		"out of order":            {append(sec(secEpochs, nil), sec(secTopics, topic)...), nil},
		"twice":                   {append(sec(secTopics, topic), sec(secTopics, topic)...), ErrCorrupt},
		"reserved, twice":         {append(sec(secTxn, nil), sec(secTxn, nil)...), ErrCorrupt},
		"header cut":              {sec(secTopics, topic)[:5], ErrCorrupt},
		"body cut":                {sec(secTopics, topic)[:20], ErrCorrupt},
		"length 2^32-1":           {[]byte{3, 0, 0xff, 0xff, 0xff, 0xff}, ErrCorrupt},
		"half a run":              {sec(secRuns, make([]byte, runRow+1)), ErrCorrupt},
		"half a batch":            {sec(secBatches, make([]byte, batchRow-1)), ErrCorrupt},
		"half a ref":              {sec(secRefs, make([]byte, 3)), ErrCorrupt},
		"half a slot":             {sec(secSlots, make([]byte, slotRow+7)), ErrCorrupt},
		"half an object":          {sec(secObjects, make([]byte, 1)), ErrCorrupt},
		"half a partition":        {sec(secPartitions, make([]byte, 35)), ErrCorrupt},
		"half an epoch":           {sec(secEpochs, make([]byte, 13)), ErrCorrupt},
		"half a topic":            {sec(secTopics, topic[:21]), ErrCorrupt},
		"topic name cut":          {sec(secTopics, topic[:22]), ErrCorrupt},
		"half an op":              {sec(secOps, make([]byte, 25)), ErrCorrupt},
		"op key cut":              {sec(secOps, append(make([]byte, 24), 0xff, 0xff)), ErrCorrupt},
		"half a producer":         {sec(secProducers, make([]byte, 19)), ErrCorrupt},
		"producer of 65535":       {sec(secProducers, many), ErrCorrupt},
		"batches without a run":   {sec(secBatches, make([]byte, batchRow)), ErrCorrupt},
		"refs without runs":       {sec(secRefs, make([]byte, refRow)), ErrCorrupt},
		"byte after the sections": {append(sec(secTopics, topic), 0), ErrCorrupt},
	} {
		b := wrap(WAL, 100, c.sections)
		f, _, err := ParseTail(b, int64(len(b)))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (f.Runs != nil || f.Epochs != nil) {
			t.Errorf("%s: rows out of nothing", name)
		}
	}
}

func TestHostileTrailers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(trailer []byte)
		want   error
	}{
		"pos in the header":    {func(b []byte) { le.PutUint64(b, 63); le.PutUint32(b[8:], uint32(100-63)) }, ErrCorrupt},
		"pos beyond":           {func(b []byte) { le.PutUint64(b, 1<<40) }, ErrCorrupt},
		"pos 2^64-1":           {func(b []byte) { le.PutUint64(b, math.MaxUint64) }, ErrCorrupt},
		"length 2^32-1":        {func(b []byte) { le.PutUint32(b[8:], math.MaxUint32) }, ErrCorrupt},
		"length one more":      {func(b []byte) { b[8]++ }, ErrCorrupt},
		"pos and len overflow": {func(b []byte) { le.PutUint64(b, math.MaxUint64-31); le.PutUint32(b[8:], 132) }, ErrCorrupt},
		"version 0":            {func(b []byte) { b[16] = 0 }, ErrCorrupt},
		"kind 0":               {func(b []byte) { b[18] = 0 }, ErrCorrupt},
		"magic":                {func(b []byte) { b[31] = 0 }, ErrCorrupt},
	} {
		b := wrap(WAL, 100, nil)
		c.change(b[len(b)-TrailerLen:])
		if _, _, _, err := Locate(b, int64(len(b))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := ParseTail(b, int64(len(b))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := wrap(WAL, 100, nil)
	for _, size := range []int64{0, -1, math.MinInt64, 31, 95, 131, 133, math.MaxInt64} {
		if _, _, err := ParseTail(b, size); !errors.Is(err, ErrCorrupt) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	b := object(Header{Kind: WAL}, good(), goodPos)
	r, err := Verify(b)
	if err != nil || r.RunBytes != 150 || r.BodyBytes != 211 || len(r.Sections) != 10 {
		t.Fatal(r, err)
	}
	copy(b, AppendHeader(nil, Header{Kind: PACK}))
	if _, err := Verify(b); !errors.Is(err, ErrCorrupt) {
		t.Fatal("kinds differ:", err)
	}
	for name, change := range map[string]func(*Footer){
		"runs overlap":         func(f *Footer) { f.Refs[1].Object = Here; f.Runs[1].Pos = 213 },
		"partitions fall":      func(f *Footer) { f.Runs[1].Partition = 0 },
		"offsets fall":         func(f *Footer) { f.Runs[1].Partition = 1 },
		"offsets of runs meet": func(f *Footer) { f.Runs[1].Partition, f.Runs[1].Base, f.Runs[1].Next = 1, 12, 14 },
	} {
		f := good()
		change(f)
		b := object(Header{Kind: WAL}, f, goodPos)
		if _, _, err := ParseTail(b, int64(len(b))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Verify(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
