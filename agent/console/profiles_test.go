package console

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestProfilesAreForThisMachine: off unless asked for, and then neither another machine nor a web page under a foreign
// name gets one.
func TestProfilesAreForThisMachine(t *testing.T) {
	for _, c := range []struct {
		on           bool
		remote, host string
		code         int
	}{
		{false, "127.0.0.1:5000", "127.0.0.1:8080", http.StatusNotFound},
		{true, "127.0.0.1:5000", "127.0.0.1:8080", http.StatusOK},
		{true, "127.0.0.1:5000", "localhost", http.StatusOK},
		{true, "[::1]:5000", "[::1]:8080", http.StatusOK},
		{true, "[::1]:5000", "[::1]", http.StatusOK},
		{true, "127.0.0.1:5000", "evil.example:8080", http.StatusForbidden},
		{true, "10.0.0.7:5000", "127.0.0.1:8080", http.StatusForbidden},
		{true, "10.0.0.7:5000", "localhost", http.StatusForbidden},
	} {
		s, err := New(func() Info { return Info{} }, func() error { return nil }, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if c.on {
			s.Profiles()
		}
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/goroutine", nil)
		r.RemoteAddr, r.Host = c.remote, c.host
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}
