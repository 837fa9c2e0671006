// Pure.

package topic

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// modes are the words after @ in a table.
var modes = map[string]effect{"act": act, "later": later, "echo": echo, "only": only, "fact": fact, "internal": internal}

// mustParse is parse for the tables that are built in: one that is wrong is a fault of the program.
func mustParse(file, text string) []def {
	defs, err := parse(text)
	if err != nil {
		panic("topic: " + file + ": " + err.Error())
	}
	return defs
}

// parse reads a table of configs, whose form broker.txt explains, and sorts it by name. The error names the line.
func parse(text string) ([]def, error) {
	var out []def
	mode, reason, n := effect(0), "", 0
	known := false // a mode was set
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if word, ok := strings.CutPrefix(line, "@"); ok {
			word, reason, _ = strings.Cut(word, " ")
			if mode, known = modes[word]; !known || (reason == "") != (mode == act) || strings.HasSuffix(reason, ".") {
				return nil, fmt.Errorf("line %d: @%s is not a mode with its reason", n, word)
			}
			continue
		}
		if !known {
			return nil, fmt.Errorf("line %d: a config before the first mode", n)
		}
		d, err := parseLine(line, mode)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		d.effect, d.reason = mode, reason
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b def) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(out); i++ {
		if out[i-1].name == out[i].name {
			return nil, fmt.Errorf("%s is there twice", out[i].name)
		}
	}
	return out, nil
}

// parseLine reads one config.
func parseLine(line string, mode effect) (def, error) {
	var word [4]string
	rest := line
	for i := range word {
		word[i], rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	d := def{name: word[0], def: word[2], values: word[3], doc: strings.TrimLeft(rest, " ")}
	if !strings.HasSuffix(d.doc, ".") {
		return d, fmt.Errorf("%s has no documentation that ends with a full stop", d.name)
	}
	typ := slices.Index(typeNames[1:], word[1]) + 1
	if typ == 0 {
		return d, fmt.Errorf("%s: %q is not a type", d.name, word[1])
	}
	d.typ = Type(typ)
	switch d.def {
	case "null":
		d.unset, d.def = true, ""
	case `""`:
		d.def = ""
	}
	var err error
	if d.check, err = checkOf(d.values, d.typ); err != nil {
		return d, fmt.Errorf("%s: %w", d.name, err)
	}
	if d.unset || mode == internal {
		return d, nil
	}
	if v, err := d.normal(d.def); err != nil || v != d.def {
		return d, fmt.Errorf("%s: default %q becomes %q: %w", d.name, d.def, v, err)
	}
	return d, nil
}
