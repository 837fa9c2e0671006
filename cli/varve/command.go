package main

import (
	"context"
	"errors"
	"fmt"
)

// command is a subcommand, or a group of them.
type command struct {
	name     string
	args     string // positional arguments, as the help shows them
	short    string // one line
	long     string // more, for the command's own help
	examples []string
	options  []*option
	min, max int      // how many positional arguments; max -1: any number
	choices  []string // of the positional argument, for completion
	sub      []*command
	server   bool // takes its settings from --config, not from a profile
	personal bool // is about profiles themselves: takes no settings from one
	// run does the work. What it returns becomes one line on stderr and the exit code.
	run func(ctx context.Context, w *world, args []string) error
}

// find returns the subcommand of that name, nil if there is none.
func (c *command) find(name string) *command {
	for _, s := range c.sub {
		if s.name == name {
			return s
		}
	}
	return nil
}

// option returns the option of that long or short name, nil if there is none.
func (c *command) option(name string) *option {
	for _, o := range c.options {
		if name == o.name || name == o.short && name != "" {
			return o
		}
	}
	return nil
}

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // including any single failed item
	exitUsage    = 2
	exitWarnings = 3 // nothing failed, but somebody should look
)

// usageError is a mistake in how a command was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

// Unwrap returns what was wrong.
func (e usageError) Unwrap() error { return e.err }

// usagef makes a usage error.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errWarnings says that a command found something to warn about and said so.
var errWarnings = errors.New("there are warnings")

// exitCode tells how a process ends after err.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errWarnings):
		return exitWarnings
	}
	return exitFailed
}
