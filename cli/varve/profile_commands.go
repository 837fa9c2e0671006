package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func profileCommand() *command {
	return &command{
		name:  "profile",
		short: "keep settings under names, one for each cluster",
		long: `Settings come from the command line, else from the environment, else from the profile in use, else they are defaults.
$VARVE_PROFILE names another profile for one command. Servers (dev, agent) take no profile: theirs is --config.
Credentials do not belong into a profile: they come from the AWS environment, files or role.`,
		sub: []*command{
			profileListCommand(), profileUseCommand(), profileSetCommand(), profileShowCommand(), profileEditCommand(),
		},
		examples: []string{"varve profile set bootstrap 127.0.0.1:9092", "varve profile show"},
	}
}

func profileListCommand() *command {
	var format string
	return &command{
		name: "list", max: 0, personal: true,
		short:    "list profiles",
		options:  []*option{outputOption(&format)},
		examples: []string{"varve profile list", "varve profile list --output json"},
		run: func(_ context.Context, w *world, _ []string) error {
			current, _, err := w.currentProfile()
			if err != nil {
				return err
			}
			names, err := w.profileNames()
			if err != nil {
				return err
			}
			l := listing{name: "profiles", columns: []column{{"PROFILE", "profile"}, {"CURRENT", "current"}}}
			for _, n := range names {
				l.rows = append(l.rows, []any{n, n == current})
			}
			return document{listings: []listing{l}}.print(w.out, format)
		},
	}
}

func profileUseCommand() *command {
	var none bool
	return &command{
		name: "use", args: "[PROFILE]", max: 1, personal: true,
		short:    "use this profile from now on",
		options:  []*option{optSwitch(&none, "none", "use no profile")},
		examples: []string{"varve profile use default", "varve profile use --none"},
		run: func(_ context.Context, w *world, args []string) error {
			if none == (len(args) == 1) {
				return usagef("name a profile, or say --none")
			}
			current := filepath.Join(w.profileDir(), "current")
			if none {
				if err := os.Remove(current); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				return said(w, nil, false, "no profile is used")
			}
			if _, err := w.existing(args[0]); err != nil {
				return err
			}
			return said(w, w.replace(current, args[0]+"\n"), false, "profile %q is used", args[0])
		},
	}
}

// existing reads a profile that must be there.
func (w *world) existing(name string) (profile, error) {
	p, err := w.readProfile(name)
	if errors.Is(err, fs.ErrNotExist) {
		names, _ := w.profileNames() // only a hint
		return p, fmt.Errorf("there is no profile %q%s", name, didYouMean(name, names, ""))
	}
	return p, err
}

// chosen is the profile that a command is about: the one named, else the current one.
func (w *world) chosenProfile(name string) (string, error) {
	if name != "" {
		return name, checkProfileName(name)
	}
	name, _, err := w.currentProfile()
	if err == nil && name != "" {
		err = checkProfileName(name)
	}
	return name, err
}

func profileSetCommand() *command {
	var name string
	return &command{
		name: "set", args: "NAME VALUE", min: 2, max: 2, personal: true,
		short: "set one setting of a profile",
		long: `Names are those of flags that the environment may set too: bootstrap, store, meta, cluster, output, http. An empty value
takes a setting away. A profile that is not there is made; if none is used, it is "default", used from then on.`,
		options:  []*option{opt(&name, parseText, "profile", "PROFILE", "which profile to change").withDefault("the current one")},
		examples: []string{"varve profile set bootstrap 127.0.0.1:9092", "varve profile set bootstrap a1.example.com:9092 --profile prod"},
		run: func(_ context.Context, w *world, args []string) error {
			if err := checkSetting(args[0], args[1]); err != nil {
				return err
			}
			target, err := w.chosenProfile(name)
			if err != nil {
				return err
			}
			first := target == ""
			if first {
				target = "default"
			}
			p, err := w.readProfile(target)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			p.values[args[0]] = args[1]
			if err := w.writeProfile(p); err != nil {
				return err
			}
			if first {
				if err := w.replace(filepath.Join(w.profileDir(), "current"), target+"\n"); err != nil {
					return err
				}
			}
			return said(w, nil, false, "set %s in profile %q", args[0], target)
		},
	}
}

// checkSetting tells early what a command would refuse later.
func checkSetting(name, value string) error {
	known := &command{options: profileSettings()}
	o := known.option(name)
	if o == nil || o.name != name {
		return usagef("no setting %q%s", name, didYouMean(name, optionNames(known), ""))
	}
	if strings.ContainsAny(value, "\r\n") || strings.TrimSpace(value) != value {
		return usagef("%s: %q has a line end, or blanks around it", name, value)
	}
	if masked(value) != value {
		return usagef("%s: credentials do not belong into a profile; they come from the AWS environment, files or role", name)
	}
	if value == "" {
		return nil
	}
	return o.take(name, o.split(value))
}

func profileShowCommand() *command {
	var format string
	return &command{
		name: "show", args: "[PROFILE]", max: 1, personal: true,
		short:    "show the settings of a profile",
		long:     "Shows the current profile if none is named. Names that this program does not know, and passwords in URLs, are not shown.",
		options:  []*option{outputOption(&format)},
		examples: []string{"varve profile show", "varve profile show default --output yaml"},
		run: func(_ context.Context, w *world, args []string) error {
			target, err := w.chosenProfile(strings.Join(args, ""))
			if err != nil {
				return err
			}
			if target == "" {
				return errors.New("no profile is used; make one: varve profile set NAME VALUE")
			}
			p, err := w.existing(target)
			if err != nil {
				return err
			}
			l := listing{name: "settings", columns: []column{{"SETTING", "setting"}, {"VALUE", "value"}}}
			for _, o := range profileSettings() {
				if v := p.values[o.name]; v != "" {
					l.rows = append(l.rows, []any{o.name, masked(v)})
				}
			}
			return document{fields: []docField{{"profile", p.name}}, listings: []listing{l}}.print(w.out, format)
		},
	}
}

func profileEditCommand() *command {
	return &command{
		name: "edit", args: "[PROFILE]", max: 1, personal: true,
		short:    "edit a profile with $VISUAL or $EDITOR",
		long:     `The file has a line "name = value" for each setting. What was edited is checked, and kept even if it is wrong.`,
		examples: []string{"varve profile edit", "varve profile edit default"},
		run: func(ctx context.Context, w *world, args []string) error {
			target, err := w.chosenProfile(strings.Join(args, ""))
			if err != nil {
				return err
			}
			if target == "" {
				target = "default"
			}
			_, err = os.Stat(w.profilePath(target))
			if errors.Is(err, fs.ErrNotExist) {
				err = w.writeProfile(profile{name: target})
			}
			if err != nil {
				return err
			}
			if err := w.edit(ctx, w.profilePath(target)); err != nil {
				return err
			}
			p, err := w.readProfile(target)
			if err != nil {
				return err
			}
			for k, v := range p.values {
				if err := checkSetting(k, v); err != nil {
					return fmt.Errorf("profile %q: %w", target, err)
				}
			}
			return nil
		},
	}
}

// edit lets the user change a file. The editor has its own command line, which a shell takes apart.
func (w *world) edit(ctx context.Context, path string) error {
	editor := ""
	for _, name := range []string{"EDITOR", "VISUAL"} { // the last one wins
		if e, ok := w.env(name); ok && e != "" {
			editor = e
		}
	}
	if editor == "" {
		if !w.terminal.in {
			return usagef("there is no terminal to edit on, and neither $VISUAL nor $EDITOR")
		}
		editor = "vi"
	}
	c := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", path)
	c.Stdin, c.Stdout, c.Stderr = w.in, w.err, w.err // stdout is for data
	if w.terminal.out && w.terminal.err {
		c.Stdout = w.out // one terminal, and some editors look at stdout
	}
	if err := c.Run(); err != nil {
		return fmt.Errorf("run the editor %q: %w", editor, err)
	}
	return nil
}
