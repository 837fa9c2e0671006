// Pure.

package topic

import (
	"fmt"
	"strings"
)

// maxName is the most bytes of a topic name, as in Kafka, where a directory's name has to hold it.
const maxName = 249

// CheckName returns ErrName unless name is [a-zA-Z0-9._-]{1,249} and neither "." nor "..".
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case name == "." || name == "..":
		return fmt.Errorf("%w: it cannot be %q", ErrName, name)
	case len(name) > maxName:
		return fmt.Errorf("%w: it has %d characters, more than %d", ErrName, len(name), maxName)
	}
	for i := range len(name) {
		c := name[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return fmt.Errorf("%w: %.260q has a character outside of a-z A-Z 0-9 . _ -", ErrName, name)
		}
	}
	return nil
}

// collapsed maps names that Kafka's metrics cannot tell apart to one: it takes '.' and '_' for the same. Kafka refuses
// a second such topic; Varve has no such metrics, allows it and logs it.
func collapsed(name string) string { return strings.ReplaceAll(name, ".", "_") }
