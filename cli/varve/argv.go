// Pure.

package main

import (
	"strings"
)

// call is a command line, understood as far as the command's own table of flags allows.
type call struct {
	path        []*command // from the root to the command; its last is to run, or a group that lacks a subcommand
	flags       []string   // as given, each value joined to its flag by "="
	positionals []string
	help        bool
}

func (c call) command() *command { return c.path[len(c.path)-1] }

// name is how the command is called, from the program's name on.
func (c call) name() string {
	names := make([]string, len(c.path))
	for i, p := range c.path {
		names[i] = p.name
	}
	return strings.Join(names, " ")
}

// argv is the command line for a parser that takes flags only before positional arguments.
func (c call) argv() []string {
	var argv []string
	for _, p := range c.path {
		argv = append(argv, p.name)
	}
	argv = append(append(argv, c.flags...), "--")
	return append(argv, c.positionals...)
}

// understand finds the command that args call and sorts the rest of args: flags may stand after positional arguments, up
// to a "--". It returns what it understood along with an error.
func understand(root *command, args []string) (call, error) {
	c := call{path: []*command{root}}
	if len(args) > 0 && args[0] == "--version" && root.find("version") != nil {
		args = append([]string{"version"}, args[1:]...)
	}
	if len(args) > 0 && args[0] == "help" { // "help topic list" is "topic list --help"
		c.help, args = true, args[1:]
	}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		here := c.command()
		switch {
		case arg == "--":
			c.positionals = append(c.positionals, args...)
			args = nil
		case len(arg) > 1 && arg[0] == '-':
			rest, err := c.takeFlag(here, arg, args)
			if err != nil {
				return c, err
			}
			args = rest
		case len(here.sub) > 0:
			s := here.find(arg)
			if s == nil {
				return c, usagef("no command %q%s", arg, didYouMean(arg, subNames(here), ""))
			}
			c.path = append(c.path, s)
		default:
			c.positionals = append(c.positionals, arg)
		}
	}
	return c, nil
}

// takeFlag takes the flag arg, and its value from args if it needs one and has none.
func (c *call) takeFlag(here *command, arg string, args []string) (rest []string, err error) {
	name, value, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
	if name == "help" || name == "h" {
		c.help = true
		return args, nil
	}
	o := here.option(name)
	if o == nil && !joined && len(arg) > 2 && arg[1] != '-' && strings.Trim(arg[2:], "0123456789") == "" { // -n1
		if o = here.option(arg[1:2]); o != nil {
			value, joined = arg[2:], true
		}
	}
	switch {
	case o == nil:
		return nil, usagef("no flag %s%s", strings.SplitN(arg, "=", 2)[0], didYouMean(name, optionNames(here), "--"))
	case joined:
		c.flags = append(c.flags, "--"+o.name+"="+value)
	case o.value == "":
		c.flags = append(c.flags, "--"+o.name)
	case len(args) == 0:
		return nil, usagef("--%s needs a value: --%s %s", o.name, o.name, o.value)
	default:
		c.flags = append(c.flags, "--"+o.name+"="+args[0])
		args = args[1:]
	}
	return args, nil
}

func subNames(c *command) (names []string) {
	for _, s := range c.sub {
		names = append(names, s.name)
	}
	return names
}

func optionNames(c *command) (names []string) {
	for _, o := range c.options {
		names = append(names, o.name)
	}
	return names
}
