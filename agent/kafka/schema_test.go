package kafka

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill gives a request random content.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" && v.Field(i).CanSet() {
				fill(r, v.Field(i), depth)
			}
		}
	case reflect.Slice:
		n := r.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			e := v.Index(i)
			if d, ok := e.Addr().Interface().(interface{ Default() }); ok {
				d.Default()
			}
			fill(r, e, depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), depth)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", r.IntN(200)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()))
	case reflect.Uint8:
		v.SetUint(uint64(r.Uint32()))
	}
}

func randomRequest(r *rand.Rand, key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	fill(r, reflect.ValueOf(req).Elem(), 0)
	req.SetVersion(version)
	return req
}

// each calls f for every version of every key that is answered.
func each(f func(a *api, version int16)) {
	all := dispatch()
	for i := range all {
		for v := all[i].floor; v <= all[i].max; v++ {
			f(&all[i], v)
		}
	}
}

// TestLayouts: a layout ends exactly where kmsg ends, so that it checks what kmsg will read.
func TestLayouts(t *testing.T) {
	each(func(a *api, version int16) {
		if a.key == keyProduce {
			return
		}
		fields := layoutOf(a, version)
		r := rand.New(rand.NewPCG(uint64(a.key), uint64(version)))
		for range 200 {
			req := randomRequest(r, a.key, version)
			b := req.AppendTo(nil)
			if flex := version >= a.flexible; flex != req.IsFlexible() {
				t.Fatalf("%s v%d: flexible %v", a.name, version, flex)
			}
			w := walker{cursor: cursor{b: b, flex: req.IsFlexible()}, version: version, elements: 1 << 20}
			w.structure(fields)
			if w.bad || len(w.b) != 0 {
				t.Fatalf("%s v%d: walk of %d bytes: bad %v, %d left", a.name, version, len(b), w.bad, len(w.b))
			}
			for cut := range b { // what is cut is refused, or kmsg has nothing to complain about either
				if !checkBody(cursor{b: b[:cut], flex: req.IsFlexible()}, fields, version, 1<<20) {
					continue
				}
				if err := kmsgDecode(a.key, version, b[:cut]); err != nil {
					t.Fatalf("%s v%d cut at %d of %d: passes, but %v", a.name, version, cut, len(b), err)
				}
			}
		}
	})
}

// decodes decodes a body as the server does.
func (a *api) decodes(c cursor, version int16) error {
	switch a.key {
	case keyProduce:
		return new(produceRequest).decode(c, version)
	case keyFetch:
		return new(fetchRequest).decode(c, version)
	}
	_, err := a.decode(c, version)
	return err
}

func kmsgDecode(key, version int16, b []byte) error {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	return req.ReadFrom(b)
}

// crafted returns bodies that claim more than they hold: zeros, and a large count at every place of a small body.
func crafted(size int, flex bool) [][]byte {
	zeros := make([]byte, size)
	all := [][]byte{zeros}
	for at := 0; at < 40; at += raceFactor {
		for _, n := range []uint32{uint32(size - at - 4), uint32(size / 2), uint32(size / 16), 0x7fffffff} {
			b := append([]byte(nil), zeros...)
			if flex {
				binary.PutUvarint(b[at:], uint64(n))
			} else {
				binary.BigEndian.PutUint32(b[at:], n)
			}
			all = append(all, b)
		}
	}
	ones := make([]byte, size) // of flexible versions: empty strings, arrays without elements, one tag after the other
	for i := range ones {
		ones[i] = 1
	}
	return append(all, ones)
}

// TestAmplification: no body makes a decoder take more than 16 times its size (security), for every key and version.
func TestAmplification(t *testing.T) {
	const size = 256 << 10 / raceFactor
	each(func(a *api, version int16) {
		flex := version >= a.flexible
		for n, b := range crafted(size, flex) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = a.decodes(cursor{b: b, flex: flex}, version)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 16*raceFactor*size {
				t.Errorf("%s v%d, body %d: %d bytes taken for %d", a.name, version, n, got, size)
			}
		}
	})
}

// TestAmplificationOfAFullFrame is the same for frames as large as they may be, of zeros.
func TestAmplificationOfAFullFrame(t *testing.T) {
	b := make([]byte, 8<<20)
	each(func(a *api, version int16) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = a.decodes(cursor{b: b, flex: version >= a.flexible}, version)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 16*raceFactor*uint64(len(b)) {
			t.Errorf("%s v%d: %d bytes taken for %d", a.name, version, got, len(b))
		}
	})
}

// TestTags: unknown tagged fields are fine, a flood of them is not (kmsg makes a map for each structure).
func TestTags(t *testing.T) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	for i := range uint32(maxTags) {
		req.UnknownTags.Set(100+i, []byte("x"))
	}
	a := New(Config{}, Deps{}).lookup(3)
	if _, err := a.decode(cursor{b: req.AppendTo(nil), flex: true}, 12); err != nil {
		t.Errorf("%d tags: %v", maxTags, err)
	}
	req.UnknownTags.Set(1, nil)
	if _, err := a.decode(cursor{b: req.AppendTo(nil), flex: true}, 12); err == nil {
		t.Errorf("%d tags pass", maxTags+1)
	}
}

// TestNullableStructures: whatever stands before a structure but -1 means that it is there, for kmsg and for the check.
func TestNullableStructures(t *testing.T) {
	a := New(Config{}, Deps{}).lookup(75)
	for _, first := range []byte{0, 1, 2, 0x80, 0xff} {
		b := []byte{1, 0, 0, 0, 9, first, 2, 'x', 0, 0, 0, 3, 0, 0}
		req, err := a.decode(cursor{b: b, flex: true}, 0)
		if err != nil {
			t.Errorf("%d: %v", first, err)
			continue
		}
		cur := req.(*kmsg.DescribeTopicPartitionsRequest).Cursor
		if first == 0xff { // what follows is read as tagged fields
			if cur != nil {
				t.Errorf("%d: %+v", first, cur)
			}
			continue
		}
		if cur == nil || cur.Topic != "x" || cur.Partition != 3 {
			t.Errorf("%d: %+v", first, cur)
		}
		for cut := 6; cut < 12; cut++ {
			if checkBody(cursor{b: b[:cut], flex: true}, a.fields, 0, 10) {
				t.Errorf("%d: cut at %d passes", first, cut)
			}
		}
	}
}
