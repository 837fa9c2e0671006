package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// readConfigFile sets those options that neither the command line nor the environment set. The file has a line
// "name = value" for each; an option that takes many has a line for each value. Empty lines and those that begin with #
// are passed over. An unknown name gets a warning, so that an old program can live with the file of a new one.
func readConfigFile(w *world, path string, options []*option) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return usagef("--config: %w", err)
	}
	values, lines, err := parseConfigFile(w, path, text, options)
	if err != nil {
		return err
	}
	for _, o := range options {
		if o.from != "" || len(values[o.name]) == 0 || o.name == "config" {
			continue
		}
		if err := o.take(fmt.Sprintf("%s, line %d: %s", path, lines[o.name], o.name), values[o.name]); err != nil {
			return err
		}
	}
	return nil
}

// parseConfigFile returns the values of each name and the line of its last one.
func parseConfigFile(w *world, path string, text []byte, options []*option) (values map[string][]string, lines map[string]int, err error) {
	known := &command{options: options}
	values, lines = map[string][]string{}, map[string]int{}
	scan := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok {
			return nil, nil, usagef("%s, line %d: %q is not name = value", path, n, line)
		}
		o := known.option(name)
		switch {
		case o == nil || o.name != name:
			fmt.Fprintf(w.err, "%s, line %d: unknown name %q%s\n", path, n, name, didYouMean(name, optionNames(known), ""))
			continue
		case len(values[name]) > 0 && !o.many:
			return nil, nil, usagef("%s, line %d: %s is set in line %d already", path, n, name, lines[name])
		}
		values[name], lines[name] = append(values[name], value), n
	}
	return values, lines, scan.Err()
}
