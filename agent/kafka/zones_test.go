package kafka

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
)

func TestZoneInAClientID(t *testing.T) {
	for client, want := range map[string]string{
		"": "", "app": "", "warpstream_az=us-east-1a": "us-east-1a", "app,ws_az=z1,ws_interzone_lb=true": "z1",
		"app diskless_az=use1-az2": "use1-az2", "app;zone=z": "z", "az=": "", "=z1": "", "crazy=1": "", "rack=a=b": "a=b",
	} {
		if got := zoneIn(client); got != want {
			t.Errorf("%q: %q, want %q", client, got, want)
		}
	}
}

// crossed is what was counted from one zone to another.
func crossed(w *world) map[[3]string]float64 {
	all := make(chan prometheus.Metric, 100)
	w.s.metrics.across.Collect(all)
	close(all)
	got := map[[3]string]float64{}
	for m := range all {
		var labels [3]string
		var d dto.Metric
		must(w.t, m.Write(&d))
		for _, l := range d.GetLabel() {
			switch l.GetName() {
			case "src":
				labels[0] = l.GetValue()
			case "dst":
				labels[1] = l.GetValue()
			case "purpose":
				labels[2] = l.GetValue()
			}
		}
		got[labels] = d.GetCounter().GetValue()
	}
	return got
}

// exchange sends a request with a client id, and returns how many bytes went each way.
func exchange(t *testing.T, nc net.Conn, client string, req kmsg.Request) (out, in int) {
	t.Helper()
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(client)).AppendRequest(nil, req, 1)
	if _, err := nc.Write(frame); err != nil {
		t.Fatal(err)
	}
	var size [sizeLen]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		t.Fatal(err)
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if _, err := io.CopyN(io.Discard, nc, int64(n)); err != nil {
		t.Fatal(err)
	}
	return len(frame), n + sizeLen
}

// TestBytesAcrossZonesAreCounted: as many as went over the connection, of clients in another zone, and of nobody else.
func TestBytesAcrossZonesAreCounted(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	w.node.change(func(v *cluster.View) { v.Nodes = append(v.Nodes, cluster.Node{ID: 2, Name: "b", Zone: "z2"}) })
	w.topic("t", 1)
	want := map[[3]string]float64{}
	for _, c := range []struct{ client, rack, zone string }{
		{"app", "", ""}, {"app", strings.Repeat("z", maxClientID+1), ""}, {"app,ws_az=z1", "", "z1"}, {"app", "z1", "z1"},
		{"app,ws_az=z2", "", "z2"}, {"app,diskless_az=z2", "z2", "z2"}, {"app,zone=z9", "", elsewhere}, {"app,zone=\x00\"}\n", "", elsewhere},
	} {
		nc, err := net.Dial("tcp", w.addr)
		must(t, err)
		out, _ := exchange(t, nc, c.client, producing(9, "t", batch(t, 3, 100)))
		req := fetching(12, "t", 0)
		req.Rack = c.rack
		_, in := exchange(t, nc, c.client, req)
		must(t, nc.Close())
		switch c.zone {
		case "":
		case "z1":
			want[[3]string{elsewhere, "z1", "produce"}] += 0
		default:
			want[[3]string{c.zone, "z1", "produce"}] += float64(out)
			want[[3]string{"z1", c.zone, "fetch"}] += float64(in)
		}
		got := crossed(w)
		if len(got) != len(want) {
			t.Fatalf("%+v: %v, want %v", c, got, want)
		}
		for labels, n := range want {
			if got[labels] != n {
				t.Errorf("%+v: %v: %v, want %v", c, labels, got[labels], n)
			}
		}
	}
}
