package main

import (
	"bytes"
	"compress/gzip"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPprof(t *testing.T) {
	with := start(t, "kcat", "dev", "--memory", "--pprof")
	without := start(t, "kcat", "dev", "--memory")
	at := func(s *server) string { return strings.Fields(s.lines[1])[1] } // http://HOST:PORT, as it is printed
	dir := t.TempDir()
	sh := &shell{t: t, env: map[string]string{"VARVE_HTTP": at(with)}}
	for _, kind := range kindNames() {
		path := filepath.Join(dir, kind)
		if got := sh.ok("", "pprof", kind, "--file", path, "--duration", "1s"); got != path+"\n" {
			t.Errorf("%s: printed %q", kind, got)
		}
		sample, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if kind == "trace" {
			if !bytes.HasPrefix(sample, []byte("go 1.")) {
				t.Errorf("%s: %q is no trace", kind, sample[:min(16, len(sample))])
			}
		} else if _, err := gzip.NewReader(bytes.NewReader(sample)); err != nil {
			t.Errorf("%s is no profile: %v", kind, err)
		}
		sh.fails(exitUsage, "file exists", "pprof", kind, "--file", path)
	}
	none := filepath.Join(dir, "none")
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = mute.Close()
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailed, "serves no profiles; start the agent with --pprof", []string{"heap", "--http", at(without)}},
		{exitFailed, "no HTTP server answers at " + mute.Addr().String(), []string{"heap", "--http", mute.Addr().String()}},
		{exitFailed, "the agent prints after \"console\"", []string{"heap", "--http", with.kafka}}, // another protocol
		{exitUsage, `"nowhere" is not HOST:PORT`, []string{"heap", "--http", "nowhere"}},
		{exitUsage, `"cup" is not one of cpu, trace`, []string{"cup"}},
		{exitUsage, "is not whole seconds", []string{"cpu", "--duration", "1500ms"}},
		{exitUsage, "is not whole seconds", []string{"cpu", "--duration", "1h"}},
		{exitUsage, "no such file", []string{"heap", "--file", filepath.Join(dir, "no", "folder")}},
	} {
		args := append([]string{"pprof"}, c.args...)
		if !strings.Contains(strings.Join(c.args, " "), "--file") {
			args = append(args, "--file", none)
		}
		sh.fails(c.code, c.want, args...)
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a sampling that failed left a file")
	}
}
