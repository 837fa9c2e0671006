package kafka

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// crafter writes a body by its layout, with one element in every array but one, whose count and elements are chosen.
type crafter struct {
	b       []byte
	version int16
	flex    bool
	target  int   // number of the array that is chosen, in the order in which they begin
	count   int64 // that it claims
	real    int   // elements that it has
	arrays  int   // seen
	flat    bool  // further elements of the chosen array: arrays inside have none
}

func (w *crafter) structure(fields []field) {
	w.fields(fields)
	if w.flex {
		w.b = append(w.b, 0)
	}
}

func (w *crafter) fields(fields []field) {
	for i := range fields {
		f := &fields[i]
		switch {
		case !f.in(w.version):
		case f.kind == fixed:
			w.b = append(w.b, make([]byte, f.size)...)
		case f.kind == str && w.flex:
			w.b = append(w.b, 2, 't')
		case f.kind == str:
			w.b = append(w.b, 0, 1, 't')
		case f.kind == perhaps:
			w.b = append(w.b, 0xff)
		case f.kind == blob:
			w.number(1)
			w.b = append(w.b, 't')
		default:
			w.array(f)
		}
	}
}

func (w *crafter) array(f *field) {
	if w.flat {
		w.number(0)
		return
	}
	count, real := int64(1), 1
	chosen := w.arrays == w.target
	w.arrays++
	if chosen {
		count, real = w.count, w.real
	}
	w.number(count)
	for i := range real {
		w.flat = w.flat || i > 0
		if f.kind == array {
			w.structure(f.of)
		} else {
			w.fields(f.of)
		}
	}
	if real > 1 {
		w.flat = false
	}
}

func (w *crafter) number(n int64) {
	if w.flex {
		w.b = binary.AppendUvarint(w.b, uint64(n+1)&0xffffffff)
	} else {
		w.b = binary.BigEndian.AppendUint32(w.b, uint32(n))
	}
}

// layoutOf is layout, with those of Produce and Fetch, which the server decodes by itself.
func layoutOf(a *api, version int16) []field {
	switch a.key {
	case keyProduce:
	case keyFetch:
		return layoutFetch()
	default:
		return a.fields
	}
	none := num(4) // of records
	if version >= a.flexible {
		none = num(1)
	}
	part := arrayOf(num(4), none)
	return []field{text(), num(2), num(4), arrayOf(text().until(12), num(16).since(13), part)}
}

func layoutFetch() []field {
	partition := arrayOf(num(4), num(4).since(9), num(8), num(4).since(12), num(8).since(5), num(4))
	return []field{
		num(4).until(14), num(4), num(4), num(4).since(3), num(1).since(4), num(4).since(7), num(4).since(7),
		arrayOf(text().until(12), num(16).since(13), partition), arrayOf(text().until(12), num(16).since(13), vectorOf(num(4))).since(7), text().since(11),
	}
}

// crafted counts how many arrays a request has, and makes a frame with a chosen one.
func craft(a *api, version int16, target int, count int64, real int) (frame []byte, arrays int) {
	w := crafter{version: version, flex: version >= a.flexible, target: target, count: count, real: real}
	w.b = append(w.b, raw(0, a.key, version)...)
	if w.flex {
		w.b = append(w.b, 0)
	}
	w.structure(layoutOf(a, version))
	binary.BigEndian.PutUint32(w.b, uint32(len(w.b)-sizeLen))
	return w.b, w.arrays
}

// TestLyingCounts: a count that cannot be, at the place of every array of every version of every request, closes the connection
// and takes no memory.
func TestLyingCounts(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	frames := 0
	var before, after runtime.MemStats
	each(func(a *api, version int16) {
		_, arrays := craft(a, version, -1, 0, 0)
		for at := range arrays {
			for _, count := range []int64{-2, -1 << 31, 1<<31 - 1, 1 << 24, 1 << 20, 1000} {
				frame, _ := craft(a, version, at, count, 1)
				near, far := socketpair(t)
				runtime.ReadMemStats(&before)
				w.s.accept(t.Context(), near)
				_, err := far.Write(frame)
				must(t, err)
				c := &client{t: t, nc: far}
				if b, err := c.frame(); err == nil {
					t.Errorf("%s v%d, array %d, count %d: answered with %d bytes", a.name, version, at, count, len(b))
				}
				runtime.ReadMemStats(&after)
				if got := after.TotalAlloc - before.TotalAlloc; got > 256<<10 {
					t.Errorf("%s v%d, array %d, count %d: %d bytes taken", a.name, version, at, count, got)
				}
				_ = far.Close()
				frames++
			}
		}
	})
	t.Logf("%d frames", frames)
}

// TestAMillionElements: every array of every request with a million elements, or as many as a frame holds, is refused before it
// is decoded; with as many as are allowed it is answered. Both take memory by the bytes that came, not by what they say.
func TestAMillionElements(t *testing.T) {
	w := newWorld(t, option{budget: 256 << 20, auto: true, cfg: Config{MaxRequestBytes: 100 << 20}})
	w.topic("t", 1)
	stop := w.meanwhile("t")
	defer stop()
	served := 0
	for _, a := range dispatch() {
		version := a.max
		_, arrays := craft(&a, version, -1, 0, 0)
		limit := a.elements
		if a.key == keyProduce || a.key == keyFetch {
			limit = maxElements
		}
		for at := range arrays {
			one, _ := craft(&a, version, at, 1, 1)
			two, _ := craft(&a, version, at, 2, 2)
			most := 1_000_000
			if raceFactor > 1 { // it makes this fifty times slower, and finds nothing in larger ones that it does not in these
				most, limit = 210_000, min(limit, 2_000)
			}
			if a.key != keyProduce {
				most = min(most, (8<<20-len(one))/(len(two)-len(one)))
			}
			if w.million(&a, version, at, most, limit) {
				t.Errorf("%s: %d elements of array %d: answered", a.name, most, at)
			}
			some := min(limit-20, most)
			if w.million(&a, version, at, some, limit) {
				served++
			}
		}
	}
	if served == 0 {
		t.Error("no request was answered: nothing is seen")
	}
	t.Logf("%d requests of as many elements as are allowed were answered", served)
}

// million sends a request whose array number at has n elements and reports whether it was answered.
func (w *world) million(a *api, version int16, at, n, limit int) (answered bool) {
	frame, _ := craft(a, version, at, int64(n), n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	nc, err := net.Dial("tcp", w.addr)
	must(w.t, err)
	defer func() { _ = nc.Close() }()
	began := time.Now()
	go func() { _, _ = nc.Write(frame) }()
	_ = nc.SetReadDeadline(time.Now().Add(hangTime))
	var head [4]byte
	if _, err = nc.Read(head[:]); err == nil {
		answered = true
		_, err = discard(nc, int64(binary.BigEndian.Uint32(head[:])))
		must(w.t, err)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		w.t.Errorf("%s v%d: %d elements of array %d: no answer", a.name, version, n, at)
	}
	if took := time.Since(began); took > time.Second {
		w.t.Logf("%s v%d: %d elements of array %d: %v", a.name, version, n, at, took)
	}
	runtime.ReadMemStats(&after)
	most := uint64(16 * len(frame)) // to read and to decode it (security)
	if n <= limit {
		most += uint64(n) * 512 // what it becomes on the way to its answer
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > most+16<<20 && raceFactor == 1 { // somebody else is at work too
		w.t.Errorf("%s v%d: %d elements of array %d in %d bytes: %d bytes taken", a.name, version, n, at, len(frame), got)
	}
	return answered
}

// TestNamesThatAreNoText: names of bytes that are not UTF-8, of terminal escapes, of any length, in every request, are answered or
// close the connection.
func TestNamesThatAreNoText(t *testing.T) {
	w := newWorld(t, option{auto: true, settings: map[string]string{"auto.create.topics.enable": "true"}})
	w.topic("t", 1)
	stop := w.meanwhile("t")
	defer stop()
	noNames := []string{"\xff\xfe\xc0\x80", "\x00", "\x1b[2J\x1b]0;owned\x07", "\xed\xa0\x80\u202e", string(make([]byte, 32_000))}
	answered := 0
	each(func(a *api, version int16) {
		for n, name := range noNames {
			r := rand.New(rand.NewPCG(uint64(a.key), uint64(n)))
			answered += w.sendNamed(a, named(a, version, name, r), name)
		}
	})
	t.Logf("%d answered", answered)
	c := w.dial()
	for _, name := range noNames {
		create, rt := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewCreateTopicsRequestTopic()
		create.Version, rt.Topic, rt.NumPartitions, rt.ReplicationFactor = 4, name, 1, -1
		create.Topics = append(create.Topics, rt)
		if got := call[*kmsg.CreateTopicsResponse](c, create).Topics[0].ErrorCode; got == 0 {
			t.Errorf("create %.10q: taken", name)
		}
		metadata := kmsg.NewPtrMetadataRequest()
		metadata.Version, metadata.AllowAutoTopicCreation, metadata.Topics = 4, true, []kmsg.MetadataRequestTopic{{Topic: &name}}
		if got := call[*kmsg.MetadataResponse](c, metadata).Topics[0].ErrorCode; got == 0 {
			t.Errorf("metadata of %.10q: made", name)
		}
	}
	for _, top := range w.topics.List() {
		if top.Name != "t" {
			t.Errorf("topic %q was made", top.Name)
		}
	}
}

// TestNullsAreTaken: in every request, whatever may be null is; it is answered, or closes the connection, and nothing panics.
func TestNullsAreTaken(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1)
	answered := 0
	each(func(a *api, version int16) {
		for n := range 3 {
			req := named(a, version, "t", rand.New(rand.NewPCG(uint64(a.key), uint64(n))))
			unset(reflect.ValueOf(req).Elem())
			answered += w.sendNamed(a, req, "t")
		}
	})
	t.Logf("%d answered", answered)
	if answered == 0 {
		t.Error("nothing was answered")
	}
}

// unset makes null what may be: all pointers, and lists that are empty.
func unset(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.SetZero()
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i).Name; f != "UnknownTags" && v.Field(i).CanSet() {
				unset(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			unset(v.Index(i))
		}
	}
}

// named is a request all of whose names are the same, which is answered at once.
func named(a *api, version int16, name string, r *rand.Rand) kmsg.Request {
	req := kmsg.RequestForKey(a.key)
	plausible(r, reflect.ValueOf(req).Elem(), [][16]byte{{1}})
	rename(reflect.ValueOf(req).Elem(), name)
	req.SetVersion(version)
	switch q := req.(type) {
	case *kmsg.FetchRequest:
		q.MaxWaitMillis = 0
	case *kmsg.ProduceRequest:
		q.Acks = 1
	}
	return req
}

// sendNamed sends a request of a client of that name, too, and returns 1 if it is answered, well, and 0 if the connection is closed.
func (w *world) sendNamed(a *api, req kmsg.Request, name string) (answered int) {
	t := w.t.(*testing.T)
	near, far := socketpair(t)
	w.s.accept(t.Context(), near)
	defer func() { _ = far.Close() }()
	go func() {
		_, _ = far.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(name)).AppendRequest(nil, req, 7))
	}()
	b, err := (&client{t: t, nc: far}).frame()
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("%s v%d, %.10q: neither answered nor closed", a.name, req.GetVersion(), name)
		}
		return 0
	}
	checkAnswer(t, awaited{req: req, key: a.key}, b[4:])
	return 1
}

// rename makes all texts of a request the same.
func rename(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			rename(v.Elem(), name)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i).Name; f != "UnknownTags" && v.Field(i).CanSet() {
				rename(v.Field(i), name)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			rename(v.Index(i), name)
		}
	case reflect.String:
		v.SetString(name)
	}
}

// TestSizesThatCannotBe: a frame that says it has 2 GiB, or less than nothing, or more than its request may have, takes nothing.
func TestSizesThatCannotBe(t *testing.T) {
	w := newWorld(t, option{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	frames := 0
	each(func(a *api, version int16) {
		most := uint32(8 << 20)
		if a.key == keyProduce {
			most = 100 << 20
		}
		for _, size := range []uint32{0x7fffffff, 0x80000000, 0xffffffff, 0, 9, most + 1} {
			near, far := socketpair(t)
			w.s.accept(t.Context(), near)
			_, err := far.Write(raw(size, a.key, version))
			must(t, err)
			(&client{t: t, nc: far}).closed()
			_ = far.Close()
			frames++
		}
	})
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(frames); each > 64<<10 {
		t.Errorf("%d bytes for each frame", each)
	}
	if got := fmt.Sprint(w.budget.Used(), w.s.reserve.Used(), w.pool.Outstanding()); got != "0 0 0" {
		t.Errorf("taken: %s", got)
	}
}
