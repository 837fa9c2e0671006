// Pure.

package topic

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Type is the type of a config, numbered as in Kafka's DescribeConfigs answers.
type Type int8

// The types of configs.
const (
	TypeBool   Type = 1
	TypeString Type = 2
	TypeInt    Type = 3
	TypeShort  Type = 4
	TypeLong   Type = 5
	TypeDouble Type = 6
	TypeList   Type = 7
)

func (t Type) String() string {
	switch t {
	case TypeBool:
		return "BOOLEAN"
	case TypeString:
		return "STRING"
	case TypeInt:
		return "INT"
	case TypeShort:
		return "SHORT"
	case TypeLong:
		return "LONG"
	case TypeDouble:
		return "DOUBLE"
	case TypeList:
		return "LIST"
	}
	return "UNKNOWN"
}

// maxValue is the most bytes of a config's value; the longest that clients send are lists of replicas.
const maxValue = 32 << 10

// def is what there is to know of a config.
type def struct {
	name  string
	typ   Type
	def   string             // default; of a broker config empty with unset
	unset bool               // there is no default: described as null
	check func(string) error // beyond the type, on a normal value; nil: any
	from  []synonym          // of a topic config: the broker configs that default it, the first that is set wins
	effect
	doc string
}

// synonym is a broker config that gives a topic config its default.
type synonym struct {
	name string
	unit int64 // what one of it is in the topic config; 0: the same text
}

// effect is what a config does here.
type effect uint8

const (
	act  effect = iota // has effect
	echo               // is kept and shown; Varve has nothing for it to act on
)

// normal returns value in the one form that is stored and compared: trimmed, booleans in lower case, whole numbers without
// leading zeros, lists without blanks and repetitions. Errors say what is wrong with the value, without naming the config.
func (d *def) normal(value string) (string, error) {
	v := strings.TrimSpace(value)
	if len(v) > maxValue {
		return "", fmt.Errorf("value has %d bytes, more than %d", len(v), maxValue)
	}
	var err error
	switch d.typ {
	case TypeBool:
		v = strings.ToLower(v)
		if v != "true" && v != "false" {
			err = fmt.Errorf("%q is neither true nor false", v)
		}
	case TypeInt:
		v, err = number(v, math.MinInt32, math.MaxInt32)
	case TypeShort:
		v, err = number(v, math.MinInt16, math.MaxInt16)
	case TypeLong:
		v, err = number(v, math.MinInt64, math.MaxInt64)
	case TypeDouble:
		if f, e := strconv.ParseFloat(v, 64); e != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			err = fmt.Errorf("%q is not a number", v)
		}
	case TypeList:
		v = strings.Join(split(v), ",")
	}
	if err == nil && d.check != nil {
		err = d.check(v)
	}
	return v, err
}

// split returns the elements of a list, each once, without blanks.
func split(list string) []string {
	var out []string
	for e := range strings.SplitSeq(list, ",") {
		if e = strings.TrimSpace(e); e != "" && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

// number is whole, with the number as it is written shortest.
func number(v string, lo, hi int64) (string, error) {
	if err := whole(v, lo, hi); err != nil {
		return v, err
	}
	n, err := strconv.ParseInt(v, 10, 64)
	return strconv.FormatInt(n, 10), err
}

// whole checks that v is a whole number in lo..hi.
func whole(v string, lo, hi int64) error {
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a whole number", v)
	case n < lo || n > hi:
		return fmt.Errorf("%s is not in %d..%d", v, lo, hi)
	}
	return nil
}

// between checks a whole number.
func between(lo, hi int64) func(string) error {
	return func(v string) error { return whole(v, lo, hi) }
}

func atLeast(lo int64) func(string) error {
	return func(v string) error {
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < lo {
			return fmt.Errorf("%s is less than %d", v, lo)
		}
		return nil
	}
}

// minusOneOr checks a whole number that is -1 or in lo..hi.
func minusOneOr(lo, hi int64) func(string) error {
	return func(v string) error {
		if v == "-1" {
			return nil
		}
		return whole(v, lo, hi)
	}
}

func ratio(v string) error {
	if f, err := strconv.ParseFloat(v, 64); err != nil || f < 0 || f > 1 {
		return fmt.Errorf("%s is not in 0..1", v)
	}
	return nil
}

func oneOf(values ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(values, v) {
			return fmt.Errorf("%q is not one of %s", v, strings.Join(values, ", "))
		}
		return nil
	}
}

// someOf checks a list: at least one element, all of values.
func someOf(values ...string) func(string) error {
	return func(v string) error {
		list := split(v)
		if len(list) == 0 {
			return fmt.Errorf("the list is empty, want some of %s", strings.Join(values, ", "))
		}
		for _, e := range list {
			if !slices.Contains(values, e) {
				return fmt.Errorf("%q is not one of %s", e, strings.Join(values, ", "))
			}
		}
		return nil
	}
}

// only checks a value of which known ones are refused for a reason.
func only(want, reason string, known ...string) func(string) error {
	return func(v string) error {
		switch {
		case v == want:
			return nil
		case slices.Contains(known, v):
			return fmt.Errorf("%q is refused, use %q: %s", v, want, reason)
		}
		return fmt.Errorf("%q is not a value Kafka or Varve knows, use %q", v, want)
	}
}

// throttled checks a list of PARTITION:BROKER pairs, or *.
func throttled(v string) error {
	for _, e := range split(v) {
		if e == "*" {
			continue
		}
		p, b, ok := strings.Cut(e, ":")
		if !ok || whole(p, 0, math.MaxInt32) != nil || whole(b, 0, math.MaxInt32) != nil {
			return fmt.Errorf("%q is not PARTITION:BROKER", e)
		}
	}
	return nil
}
