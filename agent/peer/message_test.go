package peer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func exampleHello() hello {
	return hello{version: 1, oldest: 1, want: session(5), spare: true,
		who: Identity{Cluster: testCluster, Agent: "agent-1", Session: session(4), Node: 3}}
}

func exampleNotice() Notice {
	return Notice{Map: 17, Topics: 4, Closing: true, Loads: []Load{{Slot: 2, Partitions: 3, Bytes: 4096}, {Slot: 255, Bytes: 1}}}
}

func TestRoundTrips(t *testing.T) {
	if got, err := decodeHello(exampleHello().encode()); err != nil || got != exampleHello() {
		t.Errorf("%+v, %v", got, err)
	}
	for _, n := range []Notice{{}, {Map: -1}, exampleNotice()} {
		if got, err := decodeNotice(n.encode()); err != nil || !reflect.DeepEqual(got, n) {
			t.Errorf("%+v, %v; want %+v", got, err, n)
		}
	}
	// A later version appends fields.
	if got, err := decodeNotice(append(exampleNotice().encode(), 1, 2, 3)); err != nil || !reflect.DeepEqual(got, exampleNotice()) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := decodeHello(append(exampleHello().encode(), 1, 2, 3)); err != nil || got != exampleHello() {
		t.Errorf("%+v, %v", got, err)
	}
}

// The bytes of version 1 stay what they are.
func TestGoldenBytes(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"ping":   {appendFrame(nil, kindPing, []byte{1, 0, 0, 0, 0, 0, 0, 0}), "0800000003000000" + "bab43bd1" + "0100000000000000"},
		"notice": {exampleNotice().encode(), "1100000000000000" + "0400000000000000" + "0100" + "02000000" + "0200030000100000" + "ff00000001000000"},
		"hello": {exampleHello().encode(), "01000100" + strings.ReplaceAll(testCluster.String(), "-", "") +
			"04000000000000000000000000000001" + "05000000000000000000000000000001" + "03000000" + "0100" + "0700" + hex.EncodeToString([]byte("agent-1"))},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Cut at every byte, or with any bit flipped, a frame is an error.
func TestDamagedFrames(t *testing.T) {
	whole := appendFrame(nil, kindNotice, exampleNotice().encode())
	for n := range whole {
		if _, _, err := readFrame(bytes.NewReader(whole[:n]), &bytes.Buffer{}, maxFrame); err == nil {
			t.Errorf("%d of %d bytes are a frame", n, len(whole))
		}
	}
	for i := range len(whole) * 8 {
		bad := bytes.Clone(whole)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, err := readFrame(bytes.NewReader(bad), &bytes.Buffer{}, maxFrame); err == nil {
			t.Errorf("bit %d does not matter", i)
		}
	}
	for name, b := range map[string][]byte{"hello": exampleHello().encode(), "notice": exampleNotice().encode()} {
		for n := range b {
			_, err1 := decodeHello(b[:n])
			_, err2 := decodeNotice(b[:n])
			if err := map[string]error{"hello": err1, "notice": err2}[name]; !errors.Is(err, errFrame) {
				t.Errorf("%d of %d bytes are a %s: %v", n, len(b), name, err)
			}
		}
	}
}

// A length takes no memory before its bytes are there.
func TestLengthsAreNotTrusted(t *testing.T) {
	header := appendFrame(nil, kindNotice, make([]byte, maxFrame))[:headerLen]
	var buf bytes.Buffer
	if _, _, err := readFrame(bytes.NewReader(header), &buf, maxFrame); !errors.Is(err, io.ErrUnexpectedEOF) || buf.Cap() > 2*firstRead {
		t.Errorf("%v, %d bytes taken", err, buf.Cap())
	}
	if _, _, err := readFrame(bytes.NewReader(header), &buf, maxHello); !errors.Is(err, errFrame) {
		t.Error(err)
	}
	many := exampleNotice().encode()
	many[18], many[19], many[20] = 0xff, 0xff, 0xff
	if _, err := decodeNotice(many); !errors.Is(err, errFrame) {
		t.Error(err)
	}
	if b := (Notice{Loads: make([]Load, maxLoads+1)}).encode(); len(b) > maxFrame {
		t.Errorf("a notice of %d bytes", len(b))
	}
	bad := exampleHello()
	bad.who.Session = uuid.Nil
	if _, err := decodeHello(bad.encode()); !errors.Is(err, errFrame) {
		t.Error(err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, kindHello, exampleHello().encode()))
	f.Add(appendFrame(nil, kindNotice, exampleNotice().encode()))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var buf bytes.Buffer
		r := bytes.NewReader(b)
		for {
			k, payload, err := readFrame(r, &buf, maxFrame)
			if err != nil {
				return
			}
			if buf.Cap() > 2*len(b)+2*firstRead {
				t.Fatalf("%d bytes of memory for %d", buf.Cap(), len(b))
			}
			if !bytes.Equal(appendFrame(nil, k, payload)[headerLen:], payload) {
				t.Fatal("not what was read")
			}
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add(exampleHello().encode())
	f.Add(exampleNotice().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := decodeNotice(b); err == nil {
			if again, err := decodeNotice(n.encode()); err != nil || !reflect.DeepEqual(again, n) {
				t.Fatalf("%+v, %v; want %+v", again, err, n)
			}
		}
		if h, err := decodeHello(b); err == nil {
			if again, err := decodeHello(h.encode()); err != nil || again != h {
				t.Fatalf("%+v, %v; want %+v", again, err, h)
			}
		}
	})
}
