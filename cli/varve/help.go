package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// usageLine shows how a command is called.
func usageLine(c call) string {
	here := c.command()
	line := c.name()
	if len(here.sub) > 0 {
		return line + " COMMAND"
	}
	if here.args != "" {
		line += " " + here.args
	}
	if len(here.options) > 0 {
		line += " [FLAGS]"
	}
	return line
}

// helpText is the help of a command: what it does, how it is called, its flags, and two examples to paste.
func helpText(c call) string {
	here := c.command()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nusage: %s\n", c.name(), here.short, usageLine(c))
	if here.long != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(here.long))
	}
	if len(here.sub) > 0 {
		b.WriteString("\ncommands:\n")
		t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
		for _, s := range here.sub {
			fmt.Fprintf(t, "  %s\t%s\n", s.name, s.short)
		}
		t.Flush()
		fmt.Fprintf(&b, "\nMore: %s COMMAND --help\n", c.name())
	}
	if len(here.options) > 0 {
		b.WriteString("\nflags:\n")
		t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
		for _, o := range here.options {
			fmt.Fprintf(t, "  %s\t%s\n", o.left(), o.right())
		}
		t.Flush()
	}
	if len(here.examples) > 0 {
		b.WriteString("\nexamples:\n")
		for _, e := range here.examples {
			fmt.Fprintf(&b, "  %s\n", e)
		}
	}
	return b.String()
}

// left is the names of an option.
func (o *option) left() string {
	s := "    --" + o.name
	if o.short != "" {
		s = "-" + o.short + ", --" + o.name
	}
	if o.value != "" {
		s += " " + o.value
	}
	return s
}

// right explains an option.
func (o *option) right() string {
	s := o.usage
	if o.many {
		s += "; may be repeated"
	}
	var notes []string
	if o.def != "" && o.def != "0" && o.def != "[]" {
		notes = append(notes, "default "+o.def)
	}
	if o.inEnv {
		notes = append(notes, o.envName())
	}
	if len(notes) > 0 {
		s += " (" + strings.Join(notes, ", ") + ")"
	}
	return s
}
