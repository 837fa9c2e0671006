package main

import (
	"fmt"
	"strings"
)

// option is a flag of a command. Values come from the command line, else from the environment, else from a file that the
// command reads (see fill), else they are what stood in the variable before.
type option struct {
	name, short string // without dashes
	value       string // placeholder in the help; empty: a switch, which takes no value
	usage       string
	def         string // default, for the help
	inEnv       bool   // also VARVE_<NAME>
	many        bool   // may be given several times
	choices     []string
	set         func(values []string) error
	now         func() string // the value, as text

	given []string // on the command line, as the parser saw them
	from  string   // what set it: the flag, the variable or the file's key; empty: nothing
}

// opt makes an option whose value parse puts into dst. What dst holds now is the default.
func opt[T any](dst *T, parse func(string) (T, error), name, value, usage string) *option {
	o := &option{name: name, value: value, usage: usage, def: fmt.Sprint(*dst), now: func() string { return fmt.Sprint(*dst) }}
	o.set = func(values []string) error {
		v, err := parse(values[len(values)-1])
		if err == nil {
			*dst = v
		}
		return err
	}
	return o
}

// optMany makes an option that may be given several times.
func optMany[T any](dst *[]T, parse func(string) (T, error), name, value, usage string) *option {
	return &option{name: name, value: value, usage: usage, many: true, set: func(values []string) error {
		var all []T
		for _, s := range values {
			v, err := parse(s)
			if err != nil {
				return err
			}
			all = append(all, v)
		}
		*dst = all
		return nil
	}}
}

// optSwitch makes an option without a value.
func optSwitch(dst *bool, name, usage string) *option {
	o := opt(dst, parseBool, name, "", usage)
	o.def = ""
	return o
}

// optOneOf makes an option that takes one of the given words.
func optOneOf(dst *string, words []string, name, value, usage string) *option {
	o := opt(dst, oneOf(words...), name, value, usage)
	o.choices = words
	return o
}

// withShort gives o a one-letter name too.
func (o *option) withShort(letter string) *option {
	o.short = letter
	return o
}

// withEnv lets o come from the environment too.
func (o *option) withEnv() *option {
	o.inEnv = true
	return o
}

// withDefault tells the help what the default is.
func (o *option) withDefault(def string) *option {
	o.def = def
	return o
}

// envName is the environment variable of o.
func (o *option) envName() string {
	return "VARVE_" + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

// settle takes the value from the command line, the environment or the profile.
func (o *option) settle(env func(string) (string, bool), p profile) error {
	from, values := o.source(env, p)
	if values == nil {
		return nil
	}
	return o.take(from, values)
}

// source returns what sets o, and to what; nil: nothing does.
func (o *option) source(env func(string) (string, bool), p profile) (from string, values []string) {
	if len(o.given) > 0 {
		return "--" + o.name, o.given
	}
	if !o.inEnv {
		return "", nil
	}
	if v, ok := env(o.envName()); ok && v != "" {
		return o.envName(), o.split(v)
	}
	if v := p.values[o.name]; v != "" {
		return fmt.Sprintf("profile %q, %s", p.name, o.name), o.split(v)
	}
	return "", nil
}

// split cuts one string into the values of an option that takes many. They are parted by semicolons, since a setting may
// hold commas.
func (o *option) split(v string) []string {
	if !o.many {
		return []string{v}
	}
	return strings.Split(v, ";")
}

func (o *option) take(from string, values []string) error {
	if err := o.set(values); err != nil {
		return usagef("%s: %w", from, err)
	}
	o.from = from
	return nil
}

// parser is the urfave side of an option: it keeps what the command line gives, to be judged by settle.
type parser struct{ o *option }

// Set is called for each value.
func (p parser) Set(v string) error {
	p.o.given = append(p.o.given, v)
	return nil
}

func (p parser) String() string { return "" }

// IsBoolFlag tells the flag package that a switch takes no value.
func (p parser) IsBoolFlag() bool { return p.o != nil && p.o.value == "" }
