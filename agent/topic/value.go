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
	TypeBool     Type = 1
	TypeString   Type = 2
	TypeInt      Type = 3
	TypeShort    Type = 4
	TypeLong     Type = 5
	TypeDouble   Type = 6
	TypeList     Type = 7
	TypeClass    Type = 8
	TypePassword Type = 9 // never shown
)

// typeNames are Kafka's names of the types.
var typeNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

// String returns Kafka's name of a type.
func (t Type) String() string {
	if t < 0 || int(t) >= len(typeNames) {
		t = 0
	}
	return typeNames[t]
}

// maxValue is the most bytes of a config's value; the longest that clients send are lists of replicas.
const maxValue = 32 << 10

// def is what there is to know of a config: a line of a table.
type def struct {
	name   string
	typ    Type
	def    string // default; empty with unset
	unset  bool   // there is no default: described as null
	values string // what is allowed besides the type, as the table has it, for tests and messages
	check  func(string) error
	from   []synonym // of a topic config: the broker configs that default it, the first that is set wins
	effect effect
	reason string // of effect
	doc    string
}

// effect is what a config does here.
type effect uint8

const (
	act      effect = iota // has effect
	later                  // is kept and shown until there is what it acts on
	echo                   // is kept and shown; Varve has nothing for it to act on
	only                   // every value but the default is refused
	fact                   // follows from what the agent is
	internal               // is not shown, and refused
)

// Documentation begins with one of these words and a reason if the config does not act, so that every tool that shows
// documentation tells it. The CLI reads them.
const (
	docLater = "Not yet: "
	docEcho  = "No effect: "
	docOnly  = "Fixed: "
)

// text is what a config's documentation says.
func (d *def) text() string {
	switch d.effect {
	case later:
		return docLater + d.reason + ". " + d.doc
	case echo:
		return docEcho + d.reason + ". " + d.doc
	case only:
		return docOnly + d.reason + ". " + d.doc
	}
	return d.doc
}

// normal returns value in the one form that is stored and compared: trimmed, booleans in lower case, whole numbers without
// leading zeros, lists without blanks and repetitions. Errors say what is wrong with the value, without naming the config.
func (d *def) normal(value string) (string, error) {
	v := strings.TrimSpace(value)
	if len(v) > maxValue {
		return "", fmt.Errorf("value has %d bytes, more than %d", len(v), maxValue)
	}
	if d.effect == only { // whatever its type: there is one value
		if d.unset || v != d.def {
			return "", d.refusal(v)
		}
		return v, nil
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

// refusal is said about another value than the only one.
func (d *def) refusal(v string) error {
	if d.typ == TypePassword {
		v = "a value" // never repeated to anybody
	} else {
		v = fmt.Sprintf("%.100q", v)
	}
	if d.unset {
		return fmt.Errorf("%s is refused: %s", v, d.reason)
	}
	return fmt.Errorf("%s is refused, use %q: %s", v, d.def, d.reason)
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
		return fmt.Errorf("%.100q is not a whole number", v)
	case n < lo && hi == math.MaxInt64:
		return fmt.Errorf("%s is less than %d", v, lo)
	case n < lo || n > hi:
		return fmt.Errorf("%s is not in %d..%d", v, lo, hi)
	}
	return nil
}
