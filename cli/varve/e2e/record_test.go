//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// record is a record as every client can tell it. A nil key or value is Kafka's null, an empty one is empty.
type record struct {
	partition  int32
	offset     int64
	millis     int64
	key, value []byte
	headers    []header
	// headerText stands for headers where the client prints them as text only (kcat).
	headerText *string
}

type header struct {
	name  string
	value []byte
}

func codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

// sample returns records with every peculiarity a record can have, for each partition, timestamps rising by a
// millisecond from start.
func sample(seed uint64, partitions int, start time.Time) []record {
	rnd := rand.New(rand.NewPCG(seed, 1))
	noise := make([]byte, 20_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	shapes := []record{
		{key: []byte("plain"), value: []byte("value")},
		{key: []byte("plain"), value: []byte("value")}, // a duplicate is a record of its own
		{key: nil, value: []byte("no key")},
		{key: []byte{}, value: []byte("empty key")},
		{key: []byte("tombstone"), value: nil},
		{key: []byte("empty value"), value: []byte{}},
		{key: []byte("naïve ключ 鍵"), value: []byte("🙂")},
		{key: []byte("bytes"), value: every},
		{key: every, value: []byte("bytes as key")},
		{key: []byte("repetitive"), value: bytes.Repeat([]byte("abc"), 40_000)},
		{key: []byte("noise"), value: noise},
		{key: []byte("headers"), value: []byte("v"), headers: []header{{"a", []byte("1")}, {"b", []byte("2")}}},
		{key: []byte("same name twice"), value: []byte("v"), headers: []header{{"a", []byte("1")}, {"a", []byte("2")}, {"a", []byte("1")}}},
		{key: []byte("odd headers"), value: []byte("v"), headers: []header{{"empty", []byte{}}, {"null", nil}, {"ключ", []byte("鍵")}}},
	}
	for i := range 40 {
		shapes = append(shapes, record{key: fmt.Appendf(nil, "k%d", i), value: fmt.Appendf(nil, "seed %d, record %d", seed, i)})
	}
	var all []record
	for i, s := range shapes {
		for p := range partitions {
			s.partition, s.millis = int32(p), start.UnixMilli()+int64(i)
			all = append(all, s)
		}
	}
	return all
}

// byPartition sorts records into partitions, in the order they have.
func byPartition(all []record) map[int32][]record {
	m := map[int32][]record{}
	for _, r := range all {
		m[r.partition] = append(m[r.partition], r)
	}
	return m
}

// compare fails unless got is want, in order per partition, byte for byte, at offsets without a gap from first on.
// Timestamps are compared where want has one.
func compare(t *testing.T, got, want []record) {
	t.Helper()
	g, w := byPartition(got), byPartition(want)
	for p := range w {
		if len(g[p]) != len(w[p]) {
			t.Errorf("partition %d: %d records, want %d", p, len(g[p]), len(w[p]))
		}
		for i := range min(len(g[p]), len(w[p])) {
			if diff := difference(g[p][i], w[p][i], int64(i)); diff != "" {
				t.Fatalf("partition %d, record %d: %s", p, i, diff)
			}
		}
	}
	for p := range g {
		if _, ok := w[p]; !ok {
			t.Errorf("partition %d: %d records, want none", p, len(g[p]))
		}
	}
}

func difference(got, want record, offset int64) string {
	switch {
	case got.offset != offset:
		return fmt.Sprintf("offset %d, want %d", got.offset, offset)
	case !same(got.key, want.key):
		return fmt.Sprintf("key %.80q, want %.80q", show(got.key), show(want.key))
	case !same(got.value, want.value):
		return fmt.Sprintf("value %.80q (%d bytes), want %.80q (%d bytes)", show(got.value), len(got.value), show(want.value), len(want.value))
	case want.millis != 0 && got.millis != want.millis:
		return fmt.Sprintf("timestamp %d, want %d", got.millis, want.millis)
	case got.headerText != nil && *got.headerText != headerText(want.headers):
		return fmt.Sprintf("headers %q, want %q", *got.headerText, headerText(want.headers))
	case got.headerText == nil && !slices.EqualFunc(got.headers, want.headers, sameHeader):
		return fmt.Sprintf("headers %q, want %q", got.headers, want.headers)
	}
	return ""
}

// headerText is how kcat prints headers.
func headerText(headers []header) string {
	var parts []string
	for _, h := range headers {
		value := "NULL"
		if h.value != nil {
			value = string(h.value)
		}
		parts = append(parts, h.name+"="+value)
	}
	return strings.Join(parts, ",")
}

func sameHeader(a, b header) bool { return a.name == b.name && same(a.value, b.value) }

// same tells null from empty.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func show(b []byte) string {
	if b == nil {
		return "null"
	}
	return string(b)
}
