// Pure.

package topic

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// checkOf turns the values column of a table into a check of normal values, nil for any.
func checkOf(values string, typ Type) (func(string) error, error) {
	if values == "-" {
		return nil, nil
	}
	if values == "replicas" {
		return throttled, nil
	}
	if rest, ok := strings.CutPrefix(values, "-1|"); ok {
		check, err := checkOf(rest, typ)
		return func(v string) error {
			if v == "-1" {
				return nil
			}
			return check(v)
		}, err
	}
	if lo, hi, ok := strings.Cut(values, ".."); ok {
		if typ == TypeDouble {
			return fraction(lo, hi)
		}
		return integers(lo, hi)
	}
	if rest, ok := strings.CutPrefix(values, "~"); ok {
		return oneOf(strings.Split(rest, "|"), true), nil
	}
	list := strings.Split(values, "|")
	switch {
	case len(list) < 2:
		return nil, fmt.Errorf("values %q: not a form that is known", values)
	case typ == TypeList:
		return someOf(list), nil
	}
	return oneOf(list, false), nil
}

// integers checks whole numbers from lo to hi; an empty hi is no bound.
func integers(lo, hi string) (func(string) error, error) {
	l, err := strconv.ParseInt(lo, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("lowest value: %w", err)
	}
	h := int64(math.MaxInt64)
	if hi != "" {
		if h, err = strconv.ParseInt(hi, 10, 64); err != nil {
			return nil, fmt.Errorf("highest value: %w", err)
		}
	}
	return func(v string) error { return whole(v, l, h) }, nil
}

// fraction checks numbers from lo to hi.
func fraction(lo, hi string) (func(string) error, error) {
	l, err := strconv.ParseFloat(lo, 64)
	if err != nil {
		return nil, fmt.Errorf("lowest value: %w", err)
	}
	h, err := strconv.ParseFloat(hi, 64)
	if err != nil {
		return nil, fmt.Errorf("highest value: %w", err)
	}
	return func(v string) error {
		if f, err := strconv.ParseFloat(v, 64); err != nil || f < l || f > h {
			return fmt.Errorf("%s is not in %s..%s", v, lo, hi)
		}
		return nil
	}, nil
}

// oneOf checks that a text is one of values, with fold in any case.
func oneOf(values []string, fold bool) func(string) error {
	return func(v string) error {
		if !slices.ContainsFunc(values, func(k string) bool { return k == v || fold && strings.EqualFold(k, v) }) {
			return fmt.Errorf("%.100q is not one of %s", v, strings.Join(values, ", "))
		}
		return nil
	}
}

// someOf checks a list: at least one element, all of values.
func someOf(values []string) func(string) error {
	one := oneOf(values, false)
	return func(v string) error {
		list := split(v)
		if len(list) == 0 {
			return fmt.Errorf("the list is empty, want some of %s", strings.Join(values, ", "))
		}
		for _, e := range list {
			if err := one(e); err != nil {
				return err
			}
		}
		return nil
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
			return fmt.Errorf("%.100q is not PARTITION:BROKER", e)
		}
	}
	return nil
}
