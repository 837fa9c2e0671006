package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/client"
)

// completionTimeout bounds what one press of a key may cost.
const completionTimeout = time.Second

// The scripts only ask this program what may stand next, so that they never grow old.
var (
	//go:embed completion.bash
	bashScript string
	//go:embed completion.zsh
	zshScript string
	//go:embed completion.fish
	fishScript string
)

func completionCommand() *command {
	return &command{
		name:  "completion",
		short: "let a shell complete commands, flags, values and topics",
		long: `Names of topics come from the cluster that the command line, the environment or the profile names; if it does not answer
within a second there are none.`,
		sub: []*command{
			scriptCommand("bash", bashScript, "source <(varve completion bash)", "varve completion bash > varve.bash"),
			scriptCommand("zsh", zshScript, "source <(varve completion zsh)", "varve completion zsh > _varve"),
			scriptCommand("fish", fishScript, "varve completion fish | source", "varve completion fish > varve.fish"),
			wordsCommand(),
		},
		examples: []string{"source <(varve completion bash)", "varve completion fish | source"},
	}
}

func scriptCommand(shell, script string, examples ...string) *command {
	return &command{
		name: shell, max: 0, personal: true,
		short:    "print the script for " + shell,
		long:     "To have it in every " + shell + ", put the first example into its start file.",
		examples: examples,
		run: func(_ context.Context, w *world, _ []string) error {
			_, err := io.WriteString(w.out, script)
			return err
		},
	}
}

func wordsCommand() *command {
	return &command{
		name: "words", args: "-- WORD...", max: -1, personal: true,
		short: "print what may stand in place of the last word",
		long: `What the scripts call, with the words of a command line after the program's name. A line is a word, and perhaps a tab and
what it means; ":files" stands for the names of files. Whatever goes wrong, it is silent and ends with 0.`,
		examples: []string{"varve completion words -- topic ''", "varve completion words -- consume orders --output=j"},
		run: func(ctx context.Context, w *world, args []string) error {
			var b strings.Builder
			for _, c := range complete(ctx, w, commands(), args) {
				b.WriteString(c.word)
				if c.about != "" {
					b.WriteString("\t" + c.about)
				}
				b.WriteByte('\n')
			}
			_, err := io.WriteString(w.out, b.String())
			return err
		},
	}
}

// candidate is a word that may stand next; about explains it in a few words.
type candidate struct{ word, about string }

// fileNames stands for the names of files, which shells complete better.
const fileNames = ":files"

// partial is a command line whose last word is being written.
type partial struct {
	here        *command
	wants       *option // whose value comes next, nil: none
	positionals []string
	onlyArgs    bool // after "--"
}

// complete returns what may stand in place of the last of words.
func complete(ctx context.Context, w *world, root *command, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	p := partial{here: root}
	for _, word := range words[:len(words)-1] {
		if !p.take(word) {
			return nil
		}
	}
	name, typed, joined := strings.Cut(last, "=")
	switch {
	case p.wants != nil:
		return matching(last, "", p.values(ctx, w, p.wants, last))
	case !p.onlyArgs && joined && strings.HasPrefix(last, "-"):
		o := p.here.option(strings.TrimLeft(name, "-"))
		if o == nil {
			return nil
		}
		return matching(last, name+"=", p.values(ctx, w, o, typed))
	case !p.onlyArgs && strings.HasPrefix(last, "-"):
		return matching(last, "", p.flags())
	case len(p.here.sub) > 0:
		return matching(last, "", p.commands())
	}
	return matching(last, "", p.arguments(ctx, w, last))
}

// take goes one word on; false: the line cannot be right.
func (p *partial) take(word string) bool {
	name, value, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
	switch {
	case p.wants != nil:
		p.wants.given, p.wants = append(p.wants.given, word), nil
	case p.onlyArgs:
		p.positionals = append(p.positionals, word)
	case word == "--":
		p.onlyArgs = true
	case len(word) > 1 && word[0] == '-':
		o := p.here.option(name)
		switch {
		case o == nil: // --help, or a mistake: the rest may still be completed
		case joined:
			o.given = append(o.given, value)
		case o.value == "":
			o.given = append(o.given, "true")
		default:
			p.wants = o
		}
	case len(p.here.sub) > 0:
		if word == "help" {
			return true
		}
		p.here = p.here.find(word)
		return p.here != nil
	default:
		p.positionals = append(p.positionals, word)
	}
	return true
}

// flags are those that may still be given.
func (p *partial) flags() (found []candidate) {
	for _, o := range p.here.options {
		if len(o.given) == 0 || o.many {
			found = append(found, candidate{"--" + o.name, o.usage})
		}
	}
	return append(found, candidate{"--help", "explain " + p.here.name})
}

func (p *partial) commands() (found []candidate) {
	for _, s := range p.here.sub {
		found = append(found, candidate{s.name, s.short})
	}
	return found
}

// values are what an option may take, if that can be known.
func (p *partial) values(ctx context.Context, w *world, o *option, typed string) []candidate {
	switch {
	case len(o.choices) > 0:
		return plainWords(o.choices)
	case o.value == "TOPIC":
		return p.topics(ctx, w, typed)
	case o.value == "GROUP":
		return p.groups(ctx, w)
	case o.value == "PROFILE":
		names, _ := w.profileNames() // silent
		return plainWords(names)
	case o.value == "FILE", o.value == "DIR":
		return []candidate{{word: fileNames}}
	}
	return nil
}

// arguments are what may stand as the next positional argument.
func (p *partial) arguments(ctx context.Context, w *world, typed string) []candidate {
	c := p.here
	if c.max >= 0 && len(p.positionals) >= c.max {
		return nil
	}
	switch {
	case len(c.choices) > 0:
		return plainWords(c.choices)
	case strings.Contains(c.args, "TOPIC"):
		return p.topics(ctx, w, typed)
	case strings.Contains(c.args, "GROUP"):
		return p.groups(ctx, w)
	case strings.Contains(c.args, "PROFILE"):
		names, _ := w.profileNames() // silent
		return plainWords(names)
	case strings.HasPrefix(c.args, "NAME VALUE") && len(p.positionals) == 0:
		return plainWords(optionNames(&command{options: profileSettings()}))
	}
	return nil
}

func plainWords(words []string) (found []candidate) {
	for _, word := range words {
		found = append(found, candidate{word: word})
	}
	return found
}

// groups are the names of the consumer groups that there are now, without those given already.
func (p *partial) groups(ctx context.Context, w *world) (found []candidate) {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	c, err := client.OpenWithin(completionTimeout, p.bootstrap(w)...)
	if err != nil {
		return nil
	}
	defer c.Close()
	groups, err := c.Groups(ctx)
	if err != nil {
		return nil
	}
	for _, g := range groups {
		if !slices.Contains(p.positionals, g.Name) {
			found = append(found, candidate{g.Name, g.State})
		}
	}
	return found
}

// topics are the names of the topics that there are now, without those given already. Internal ones begin with "__" and
// are left out until somebody asks for them.
func (p *partial) topics(ctx context.Context, w *world, typed string) (found []candidate) {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	c, err := client.OpenWithin(completionTimeout, p.bootstrap(w)...)
	if err != nil {
		return nil
	}
	defer c.Close()
	topics, err := c.Topics(ctx)
	if err != nil {
		return nil
	}
	for _, t := range topics {
		internal := strings.HasPrefix(t.Name, "__") && !strings.HasPrefix(typed, "_")
		if !internal && !slices.Contains(p.positionals, t.Name) {
			found = append(found, candidate{t.Name, fmt.Sprintf("%d partitions", len(t.Partitions))})
		}
	}
	return found
}

// bootstrap is where the command would find its cluster.
func (p *partial) bootstrap(w *world) []string {
	var conn connection
	o := conn.option()
	if here := p.here.option(o.name); here != nil {
		o.given = here.given
	}
	quiet := *w
	quiet.err = io.Discard
	settings, _ := quiet.profile() // silent
	if err := o.settle(w.env, settings); err != nil {
		return nil
	}
	return conn.bootstrap
}

// matching keeps those that begin with what was typed, prefix put before each, made safe for one line.
func matching(typed, prefix string, all []candidate) (found []candidate) {
	for _, c := range all {
		switch {
		case c.word == fileNames:
			found = append(found, c)
		case strings.HasPrefix(prefix+c.word, typed):
			found = append(found, candidate{prefix + printable(c.word), printable(c.about)})
		}
	}
	return found
}
