package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

func yesOption(dst *bool) *option {
	return optSwitch(dst, "yes", "do not ask").withShort("y")
}

// confirm asks whether to do what is going to destroy something. Where nobody can be asked, --yes is wanted.
func confirm(w *world, yes bool, what string) error {
	if yes {
		return nil
	}
	if !w.terminal.in || !w.terminal.err {
		return usagef("not confirmed: %s; there is no terminal to ask at: add --yes", what)
	}
	fmt.Fprintf(w.err, "%s? [y/N] ", what)
	answer, err := bufio.NewReader(w.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	if err != nil {
		fmt.Fprintln(w.err)
	}
	return errors.New("nothing was done")
}
