package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPages(t *testing.T) {
	var notReady error
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "varve_test_total", Help: "t"})
	c.Add(3)
	info := func() Info {
		return Info{Agent: "<a1>", Cluster: "c", Kafka: "h:9", Version: "v", Started: time.Unix(0, 0)}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	s, err := New(info, func() error { return notReady }, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		t.Helper()
		r, err := client.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	for _, want := range []struct {
		path, text string
		code       int
	}{
		{"/healthz", "ok", 200}, {"/readyz", "ok", 200}, {"/metrics", "varve_test_total 3", 200},
		{"/", "&lt;a1&gt;", 200}, {"/nothing", "not found", 404},
	} {
		if code, text := get(want.path); code != want.code || !strings.Contains(text, want.text) {
			t.Errorf("%s: %d %q", want.path, code, text)
		}
	}
	notReady = errors.New("opening slots")
	if code, text := get("/readyz"); code != 503 || !strings.Contains(text, "opening slots") {
		t.Errorf("not ready: %d %q", code, text)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
