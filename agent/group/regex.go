// Pure.

package group

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// Bounds of a regular expression. RE2 takes time in proportion to the size of its program times the bytes that it looks at, so bounding
// both bounds the time.
const (
	maxRegexBytes = 4 << 10
	maxRegexSize  = 10_000  // steps of the program
	maxRegexWork  = 1 << 30 // steps times bytes of all topic names; seconds at the very worst, milliseconds usually
)

// compileRegex compiles a subscription. As in Kafka it must match the whole name of a topic. work is the number of bytes of names
// that it will be matched against. It returns the size of the program, too. Error: ErrRegex, with what is wrong and where.
func compileRegex(expr string, work int) (re *regexp.Regexp, size int, err error) {
	if len(expr) > maxRegexBytes {
		return nil, 0, fmt.Errorf("%w: it has %d bytes, at most %d are taken", ErrRegex, len(expr), maxRegexBytes)
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %.100q: %w (RE2 syntax; no look-around, no back-references)", ErrRegex, expr, err)
	}
	size = regexSize(tree)
	if size > maxRegexSize || size*work > maxRegexWork {
		return nil, 0, fmt.Errorf("%w: %.100q needs %d steps for each of %d bytes of topic names, too much work: make its repetitions smaller",
			ErrRegex, expr, size, work)
	}
	if re, err = regexp.Compile(`\A(?:` + expr + `)\z`); err != nil {
		return nil, 0, fmt.Errorf("%w: %.100q: %w", ErrRegex, expr, err)
	}
	return re, size, nil
}

// regexSize is about the number of steps of the program that a tree becomes, repetitions written out. It stops counting a little above
// maxRegexSize.
func regexSize(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)
	if re.Op == syntax.OpCharClass {
		size = 1 + len(re.Rune)/4
	}
	for _, sub := range re.Sub {
		size += regexSize(sub)
		if size > maxRegexSize {
			return maxRegexSize + 1
		}
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxRegexSize+1)
}
