package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProfiles(t *testing.T) {
	home := t.TempDir()
	s := newShell(t)
	live := s.env["VARVE_BOOTSTRAP"]
	s.env = map[string]string{"HOME": home}
	if got := s.ok("", "profile", "list", "-o", "jsonl"); got != "" {
		t.Errorf("at first: %q", got)
	}
	s.fails(exitFailed, "no profile is used", "profile", "show")
	s.ok("", "profile", "set", "bootstrap", live) // makes "default", and it is used
	s.ok("", "profile", "set", "output", "jsonl")
	s.ok("", "profile", "set", "bootstrap", "127.0.0.1:1", "--profile", "dead")
	if got := s.ok("", "topic", "list"); !strings.Contains(got, `"topic":"t"`) {
		t.Errorf("the profile does not act: %q", got)
	}
	if got := s.ok("", "topic", "list", "-o", "json"); !strings.HasPrefix(got, "{\n") {
		t.Errorf("the flag does not win: %q", got)
	}
	s.env[profileVariable] = "dead"
	s.fails(exitFailed, "no server answers at 127.0.0.1:1", "topic", "list")
	s.fails(exitFailed, "no server answers at 127.0.0.1:1", "topic", "list", "--output", "yaml")
	s.env["VARVE_BOOTSTRAP"] = live
	s.ok("", "topic", "list")
	s.env[profileVariable] = "gone"
	s.fails(exitUsage, `VARVE_PROFILE: there is no profile "gone"`, "topic", "list")
	s.env[profileVariable], s.env["VARVE_BOOTSTRAP"] = "", ""
	if got := s.ok("", "profile", "list", "-o", "table"); got != "PROFILE  CURRENT\ndead     false\ndefault  true\n" {
		t.Errorf("list:\n%s", got)
	}
	if got := s.ok("", "profile", "show", "-o", "table"); !strings.Contains(got, live) || !strings.Contains(got, "profile  default\n") {
		t.Errorf("show:\n%s", got)
	}
	s.ok("", "profile", "set", "output", "")
	s.ok("", "profile", "use", "dead")
	s.fails(exitFailed, "no server answers", "topic", "list")
	s.ok("", "profile", "use", "--none")
	if got := s.ok("", "profile", "show", "default", "-o", "jsonl"); strings.Contains(got, "output") {
		t.Errorf("a setting was not taken away: %q", got)
	}
	for _, c := range []struct {
		code int
		want string
		args string
	}{
		{exitUsage, `no setting "botstrap"; did you mean bootstrap?`, "set botstrap a:1"}, {exitUsage, "empty part", "set bootstrap a:1,"},
		{exitUsage, "is not one of table", "set output xml"}, {exitUsage, "credentials do not belong", "set store s3://key:secret@bucket/p"},
		{exitUsage, `no setting "listen"`, "set listen a:1"}, // of a server
		{exitUsage, "is not the name of a profile", "set output json --profile ../x"}, {exitUsage, "is not the name of a profile", "show ../x"},
		{exitFailed, `no profile "defualt"; did you mean default?`, "use defualt"}, {exitUsage, "--none", "use"}, {exitUsage, "--none", "use dead --none"},
	} {
		s.fails(c.code, c.want, append([]string{"profile"}, strings.Fields(c.args)...)...)
	}
}

// TestProfilesKeepSecrets: a profile that somebody wrote by hand is never echoed as it is.
func TestProfilesKeepSecrets(t *testing.T) {
	home := t.TempDir()
	s := &shell{t: t, env: map[string]string{"XDG_CONFIG_HOME": home, "EDITOR": "sh -c 'printf \"password = hunter2\\nstore = s3://key:hunter2@bucket/p\\n\" > \"$0\"'"}}
	s.fails(exitUsage, "credentials do not belong", "profile", "edit", "p")
	text, err := os.ReadFile(filepath.Join(home, "varve", "profiles", "p.conf"))
	if err != nil || !strings.Contains(string(text), "hunter2") {
		t.Fatalf("%v: the editor did not write: %q", err, text)
	}
	for _, o := range []string{"table", "json", "jsonl", "yaml"} {
		r := s.run("", "profile", "show", "p", "-o", o)
		if r.code != exitOK || strings.Contains(r.out+r.err, "hunter2") || !strings.Contains(r.out, "s3://***@bucket/p") {
			t.Errorf("%s: %+v", o, r)
		}
	}
	info, err := os.Stat(filepath.Join(home, "varve", "profiles"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can look: %v, %v", info.Mode(), err)
	}
	s.env["EDITOR"] = ""
	s.fails(exitUsage, "there is no terminal to edit on", "profile", "edit", "p")
	s.env["EDITOR"] = "false"
	s.fails(exitFailed, `run the editor "false"`, "profile", "edit", "p")
}
