package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/urfave/cli/v2"
)

// run runs the command that args call, and returns the exit code of the process. It is the whole of main that a test
// needs.
func run(ctx context.Context, w *world, root *command, args []string) int {
	c, err := understand(root, args)
	switch here := c.command(); {
	case err != nil:
	case c.help:
		fmt.Fprint(w.out, helpText(c))
		return exitOK
	case here.run == nil:
		fmt.Fprint(w.err, helpText(c))
		return exitUsage
	case len(c.positionals) < here.min || here.max >= 0 && len(c.positionals) > here.max:
		err = usagef("wants %s, got %d: %q", countText(here), len(c.positionals), c.positionals)
	default:
		err = application(w, root).RunContext(ctx, c.argv())
	}
	return conclude(w, c, err)
}

// conclude says what went wrong, in one place and one form.
func conclude(w *world, c call, err error) int {
	code := exitCode(err)
	switch {
	case err == nil, errors.Is(err, errWarnings), errors.Is(err, errSaid):
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(w.err, "%s: interrupted\n", c.name())
	default:
		for line := range strings.Lines(plain(err)) { // joined errors have a line each
			fmt.Fprintf(w.err, "%s: %s\n", c.name(), strings.TrimSuffix(line, "\n"))
		}
	}
	if code == exitUsage {
		fmt.Fprintf(w.err, "usage: %s\nsee %s --help\n", usageLine(c), c.name())
	}
	return code
}

// plain is an error as people read it. Where the server said in its own words what is wrong, the client library's general
// description of the error code is left out: it is noise at best, and can be beside the point.
func plain(err error) string {
	text := err.Error()
	var k *kerr.Error
	if errors.As(err, &k) {
		text = strings.Replace(text, k.Error()+": ", k.Message+": ", 1)
	}
	return text
}

// errSaid ends a command with exitFailed when every failure was told already.
var errSaid = errors.New("failures were told")

// application turns the tree into one of urfave/cli, the one place that knows it. What is odd about version 2 is dealt
// with before: it takes flags only before arguments, and tells usage errors to stdout.
func application(w *world, root *command) *cli.App {
	a := &cli.App{
		Name: root.name, HideHelp: true, HideVersion: true, DisableSliceFlagSeparator: true,
		Writer: io.Discard, ErrWriter: io.Discard,
		OnUsageError:    usageFound,
		CommandNotFound: func(*cli.Context, string) {},
		ExitErrHandler:  func(*cli.Context, error) {}, // the default one leaves the process
	}
	for _, s := range root.sub {
		a.Commands = append(a.Commands, urfave(w, s))
	}
	return a
}

func usageFound(_ *cli.Context, err error, _ bool) error { return usageError{err} }

func urfave(w *world, c *command) *cli.Command {
	u := &cli.Command{Name: c.name, HideHelp: true, HideHelpCommand: true, OnUsageError: usageFound}
	for _, s := range c.sub {
		u.Subcommands = append(u.Subcommands, urfave(w, s))
	}
	for _, o := range c.options {
		u.Flags = append(u.Flags, &cli.GenericFlag{Name: o.name, Value: parser{o}})
	}
	if c.run == nil {
		return u
	}
	u.Action = func(ctx *cli.Context) error {
		var p profile
		if !c.server && !c.personal {
			var err error
			if p, err = w.profile(); err != nil {
				return err
			}
		}
		for _, o := range c.options {
			if err := o.settle(w.env, p); err != nil {
				return err
			}
		}
		return c.run(ctx.Context, w, ctx.Args().Slice())
	}
	return u
}

// countText says how many positional arguments a command wants.
func countText(c *command) string {
	switch {
	case c.max == 0:
		return "no arguments"
	case c.args != "":
		return c.args
	}
	return strings.TrimSpace(fmt.Sprint(c.min, " arguments"))
}
