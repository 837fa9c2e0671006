package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// sampler is the flags of "varve pprof".
type sampler struct {
	http string
	span time.Duration
	file string
}

// Bounds of a sampling.
const (
	maxProfile  = 1 << 30          // bytes of a profile
	maxSpan     = 10 * time.Minute // of what is sampled over time
	pprofGrace  = 30 * time.Second // for the answer, beyond the sampling itself
	pprofSignal = 512              // bytes of an error answer that are shown
)

// profileKinds are what can be sampled. Those over a time have a path of their own and take the seconds.
var profileKinds = []struct {
	name, path string
	timed      bool
}{
	{"cpu", "profile", true}, {"trace", "trace", true},
	{"heap", "heap", false}, {"allocs", "allocs", false}, {"goroutine", "goroutine", false},
}

func kindNames() (names []string) {
	for _, k := range profileKinds {
		names = append(names, k.name)
	}
	return names
}

func pprofCommand() *command {
	s := &sampler{http: "127.0.0.1:8080", span: 10 * time.Second}
	return &command{
		name: "pprof", args: strings.Join(kindNames(), "|"), min: 1, max: 1, choices: kindNames(),
		short: "sample a running agent: processor, memory, goroutines, a trace",
		long: `Asks the HTTP side of an agent that was started with --pprof, from the same machine, and prints the name of the file that
it wrote, for "go tool pprof FILE" (of a trace: "go tool trace FILE").
  cpu        where processor time goes, over --duration
  trace      every scheduling of a goroutine, over --duration; large
  heap       what memory is in use, and who allocated it
  allocs     what was allocated since the start
  goroutine  the stack of every goroutine`,
		options: []*option{
			opt(&s.http, parseText, "http", "HOST:PORT", "the agent's HTTP side").withEnv(),
			opt(&s.span, parseDuration, "duration", "DURATION", "how long to sample").withShort("d"),
			opt(&s.file, parseText, "file", "FILE", "where to write; it must not exist").withDefault("varve-KIND-TIME.pprof"),
		},
		examples: []string{"varve pprof heap", "varve pprof cpu --duration 3s --file cpu.pprof"},
		run:      func(ctx context.Context, w *world, args []string) error { return s.run(ctx, w, args[0]) },
	}
}

func (s *sampler) run(ctx context.Context, w *world, kind string) error {
	if _, err := oneOf(kindNames()...)(kind); err != nil {
		return usageError{err}
	}
	if s.span < time.Second || s.span > maxSpan || s.span%time.Second != 0 {
		return usagef("--duration: %v is not whole seconds from 1s to %v", s.span, maxSpan)
	}
	from, err := s.url(kind)
	if err != nil {
		return err
	}
	if s.file == "" {
		s.file = fmt.Sprintf("varve-%s-%s.pprof", kind, time.Now().UTC().Format("20060102T150405Z"))
	}
	f, err := os.OpenFile(s.file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return usagef("--file: %w", err)
	}
	err = s.sample(ctx, w, from, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(s.file))
	}
	_, err = fmt.Fprintln(w.out, s.file)
	return err
}

// url is where the agent serves a profile.
func (s *sampler) url(kind string) (string, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(s.http, "http://"), "/")
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return "", usagef("--http: %q is not HOST:PORT", s.http)
	}
	u := url.URL{Scheme: "http", Host: address, Path: "/debug/pprof/"}
	for _, k := range profileKinds {
		if k.name != kind {
			continue
		}
		u.Path += k.path
		if k.timed {
			u.RawQuery = fmt.Sprintf("seconds=%d", int(s.span.Seconds()))
		}
	}
	return u.String(), nil
}

// sample fetches a profile into f, and shows how far it is.
func (s *sampler) sample(ctx context.Context, w *world, from string, f io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, s.span+pprofGrace)
	defer cancel()
	var got atomic.Int64
	began := time.Now()
	stop := showProgress(w, false, func() string {
		if n := got.Load(); n > 0 {
			return fmt.Sprintf("%v received", byteSize(n))
		}
		return fmt.Sprintf("sampling, %v of %v", time.Since(began).Round(time.Second), s.span)
	})
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return usagef("--http: %w", err)
	}
	c := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: pingTimeout}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := c.Do(req)
	if err != nil {
		return s.unreachable(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return s.refused(answer)
	}
	n, err := io.Copy(f, &counted{io.LimitReader(answer.Body, maxProfile+1), &got})
	switch {
	case err != nil:
		return fmt.Errorf("receive the profile: %w", err)
	case n > maxProfile:
		return fmt.Errorf("the profile is larger than %v", byteSize(maxProfile))
	case n == 0:
		return fmt.Errorf("%s answered with nothing", s.http)
	}
	return nil
}

// unreachable explains why there was no answer.
func (s *sampler) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("no HTTP server answers at %s: %w; it is what the agent prints after \"console\": --http HOST:PORT", s.http, err)
}

// refused explains an answer that is no profile.
func (s *sampler) refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, pprofSignal)) // what there is helps, whatever happens to the rest
	said := printable(strings.TrimSpace(string(text)))
	if answer.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s serves no profiles; start the agent with --pprof", s.http)
	}
	return fmt.Errorf("%s: %s: %s", s.http, answer.Status, said)
}

// counted counts what was read.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
