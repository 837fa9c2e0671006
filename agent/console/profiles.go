package console

import (
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
)

// Profiles adds /debug/pprof/, where "varve pprof" samples this process. Call it before Serve. Only programs on this
// machine are answered, whatever the listener is bound to: a profile tells much about what a process does, and taking one
// costs it time.
func (s *Server) Profiles() {
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/profile": pprof.Profile, "/debug/pprof/trace": pprof.Trace,
	} {
		s.mux.Handle("GET "+path, localOnly(h))
	}
}

// localOnly refuses requests of other machines, and those whose Host is not a name of this one: a web page in a browser
// here may have had its own name resolve to 127.0.0.1.
func localOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.RemoteAddr) || !local(r.Host) {
			answer(w, http.StatusForbidden, "profiles are for programs on this machine")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// local tells whether an address, with a port or without, is of this machine.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
