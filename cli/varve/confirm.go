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

// confirm asks before something is destroyed. Where nobody can be asked, --yes is wanted.
func confirm(w *world, yes bool, question string) error {
	if yes {
		return nil
	}
	if !w.terminal.in || !w.terminal.err {
		return usagef("%s there is nobody to ask: add --yes", question)
	}
	fmt.Fprintf(w.err, "%s [y/N] ", question)
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
