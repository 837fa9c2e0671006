package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/cli/bench"
)

// noEvents is an agent that does not care.
type noEvents struct{}

func (noEvents) Notice(peer.Identity, peer.Notice)   {}
func (noEvents) Lost(peer.Peer)                      {}
func (noEvents) Gone(peer.Peer, peer.Why, uuid.UUID) {}

// TestBenchKnowsTheCaller: by what an agent really says when it dials another.
func TestBenchKnowsTheCaller(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	me := peer.Identity{Cluster: uuid.New(), Agent: agentName(1), Session: uuid.New(), Node: 7}
	m := peer.New(peer.Config{Identity: me}, noEvents{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	defer m.Close()
	m.Set([]peer.Peer{{Agent: agentName(0), Session: uuid.New(), Address: ln.Addr().String()}})
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first := make([]byte, helloName+2+len(me.Agent))
	if _, err := io.ReadFull(conn, first); err != nil {
		t.Fatal(err)
	}
	cr := &crew{}
	cr.wireUp(3)
	for _, c := range cr.cables {
		defer c.Close()
	}
	if got := cr.caller(first); got == nil || got != cr.cables[me.Agent] {
		t.Errorf("%q is not known", first)
	}
	for n := range first {
		if cr.caller(first[:n]) != nil {
			t.Errorf("known by %d bytes", n)
		}
	}
}

// TestBenchLeadsAStore: requests to its endpoint go over the cable; what has none cannot be cut off.
func TestBenchLeadsAStore(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "it is me") }))
	defer server.Close()
	c := bench.NewCable()
	defer c.Close()
	led, err := leadStore(c, "s3://b/x?path_style=true&endpoint="+url.QueryEscape(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	u, err := parseStoreURL(led, objectSchemes)
	if err != nil || u.host != "b" || u.path != "x" || u.params.Get("path_style") != "true" || u.params.Get("endpoint") == server.URL {
		t.Fatalf("%v, %s", err, led)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(u.params.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || string(got) != "it is me" {
		t.Errorf("%q, %v", got, err)
	}
	s := &shell{t: t}
	for _, store := range []string{"s3://b?region=eu-central-1", "s3://b?endpoint=https://h:9000", "file:///nowhere"} {
		s.fails(exitUsage, "no endpoint=http://HOST:PORT", "bench", "fail-over", "--how", "cut", "--store", store, "--meta", "dynamodb://t?endpoint=http://127.0.0.1:1")
	}
}
