package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A profile is a file of settings under a name: what the environment would hold, kept. They lie in
// $XDG_CONFIG_HOME/varve/profiles/NAME.conf, else ~/.config/varve/..., with lines "name = value" as in a --config file;
// the file "current" beside that folder names the one in use, $VARVE_PROFILE another. Servers take none: theirs is
// --config.

// profileVariable names the profile to use instead of the current one.
const profileVariable = "VARVE_PROFILE"

// profile is one that was read; the zero value: none.
type profile struct {
	name   string
	values map[string]string
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkProfileName(name string) error {
	if !profileName.MatchString(name) {
		return usagef("%q is not the name of a profile: want up to 64 letters, digits, dots, dashes and underscores", name)
	}
	return nil
}

// profileDir is the folder that holds everything about profiles; empty: there is none.
func (w *world) profileDir() string {
	if dir, ok := w.env("XDG_CONFIG_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "varve")
	}
	if home, ok := w.env("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "varve")
	}
	return ""
}

func (w *world) profilePath(name string) string {
	return filepath.Join(w.profileDir(), "profiles", name+".conf")
}

// currentProfile is the name of the profile in use, and what says so; empty: none.
func (w *world) currentProfile() (name, from string, err error) {
	if name, ok := w.env(profileVariable); ok && name != "" {
		return name, profileVariable, nil
	}
	if w.profileDir() == "" {
		return "", "", nil
	}
	path := filepath.Join(w.profileDir(), "current")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	return strings.TrimSpace(string(text)), path, err
}

// profile reads the one in use.
func (w *world) profile() (profile, error) {
	name, from, err := w.currentProfile()
	if err != nil || name == "" {
		return profile{}, err
	}
	p, err := w.readProfile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return p, usagef("%s: there is no profile %q; see varve profile list", from, name)
	}
	return p, err
}

// readProfile reads one; fs.ErrNotExist if there is none. Unknown names get a warning.
func (w *world) readProfile(name string) (profile, error) {
	p := profile{name: name, values: map[string]string{}}
	if err := checkProfileName(name); err != nil {
		return p, err
	}
	path := w.profilePath(name)
	text, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	values, _, err := parseConfigFile(w, path, text, profileSettings())
	for k, v := range values {
		p.values[k] = strings.Join(v, ";")
	}
	return p, err
}

// profileSettings are the options that a profile may set: those of commands other than servers that the environment may
// set too, sorted by name, each once.
func profileSettings() (all []*option) {
	var walk func(c *command)
	walk = func(c *command) {
		for _, o := range c.options {
			known := slices.ContainsFunc(all, func(k *option) bool { return k.name == o.name })
			if o.inEnv && !c.server && !known {
				all = append(all, o)
			}
		}
		for _, s := range c.sub {
			walk(s)
		}
	}
	walk(commands())
	slices.SortFunc(all, func(a, b *option) int { return strings.Compare(a.name, b.name) })
	return all
}

// write replaces the file of a profile as a whole.
func (w *world) writeProfile(p profile) error {
	var b strings.Builder
	for _, o := range profileSettings() {
		if v := p.values[o.name]; v != "" {
			fmt.Fprintf(&b, "%s = %s\n", o.name, v)
		}
	}
	return w.replace(w.profilePath(p.name), b.String())
}

// replace writes a file that is there either whole or not at all.
func (w *world) replace(path, text string) error {
	if w.profileDir() == "" {
		return errors.New("neither $XDG_CONFIG_HOME nor $HOME names a folder to keep profiles in")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// profileNames are those there are, sorted.
func (w *world) profileNames() (names []string, err error) {
	files, err := os.ReadDir(filepath.Join(w.profileDir(), "profiles"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".conf"); ok && profileName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, err
}

var userInfo = regexp.MustCompile(`//[^/@?#]*@`)

// masked is a setting as it may be shown: a password that somebody wrote into a URL is none of anybody's business.
func masked(value string) string { return userInfo.ReplaceAllString(value, "//***@") }
