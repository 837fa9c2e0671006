// Package console is the agent's HTTP side: health, metrics and a page of links. It reads and never changes anything.
//
//	/         links, and who this agent is
//	/healthz  200 while the process lives
//	/readyz   200 while the agent serves, else 503 and why not
//	/metrics  Prometheus text format: METRICS.md says what is in it
//
// and, if Profiles was called, /debug/pprof/ for programs on the same machine.
//
// Goroutines: those of net/http.
package console

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

//go:embed index.html
var files embed.FS

// Info is what the page of links tells.
type Info struct {
	Agent, Cluster, Version, Kafka string
	Started                        time.Time
}

// Server is the HTTP server of an agent.
type Server struct {
	http  *http.Server
	mux   *http.ServeMux
	ready func() error
	info  func() Info
	page  *template.Template
}

// New returns a Server. ready returns why the agent does not serve, nil if it does. metrics is what /metrics shows.
func New(info func() Info, ready func() error, metrics prometheus.Gatherer, logger *slog.Logger) (*Server, error) {
	page, err := template.ParseFS(files, "index.html")
	if err != nil {
		return nil, err
	}
	s := &Server{ready: ready, info: info, page: page}
	mux := http.NewServeMux()
	s.mux = mux
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /{$}", s.index)
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve answers requests on ln until ctx ends.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.ready(); err != nil {
		answer(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, "ok")
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	state := "serving"
	if err := s.ready(); err != nil {
		state = err.Error()
	}
	_ = s.page.Execute(w, struct { // an error here means that the client is gone
		Info
		State string
	}{s.info(), state})
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}
