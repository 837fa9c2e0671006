// Pure.

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The parsers of option values. Their errors say what is wrong and give an example.

func parseText(s string) (string, error) { return s, nil }

func parseBool(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%q is not true or false", s)
	}
	return b, nil
}

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

// parseCount reads a number from 1 on.
func parseCount(s string) (int, error) {
	n, err := parseInt(s)
	if err == nil && n < 1 {
		err = fmt.Errorf("%d is less than 1", n)
	}
	return n, err
}

func parsePartition(s string) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("%q is not a number of a partition", s)
	}
	return int32(n), nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration (like 250ms, 3s, 1m)", s)
	}
	return d, nil
}

// parseDollars reads an amount of money.
func parseDollars(s string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimPrefix(s, "$"), 64)
	if err != nil || !(v >= 0 && v <= 1e6) {
		return 0, fmt.Errorf("%q is not an amount of dollars (like 100, from 0 to 1,000,000)", s)
	}
	return v, nil
}

// byteSize is a size in bytes, written like 8MiB.
type byteSize int64

// sizeUnits are powers of 1024 and of 1000, the longer names first.
var sizeUnits = []struct {
	name string
	n    byteSize
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// parseBytes reads a number of bytes with a unit or without.
func parseBytes(s string) (byteSize, error) {
	digits, unit := s, byteSize(1)
	for _, u := range sizeUnits {
		if before, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = strings.TrimSpace(before), u.n
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	size := n * float64(unit)
	if err != nil || math.IsNaN(size) || size < 0 || size > 1<<60 || strings.ContainsAny(digits, "xXpPeE_") {
		return 0, fmt.Errorf("%q is not a size (like 512KiB, 8MiB, 1.5GB, 4096)", s)
	}
	return byteSize(size), nil
}

// String writes b with the largest unit of 1024 that divides it.
func (b byteSize) String() string {
	for _, u := range sizeUnits[:4] {
		if b != 0 && b%u.n == 0 {
			return strconv.FormatInt(int64(b/u.n), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// pair is KEY=VALUE.
type pair struct{ key, value string }

func parsePair(s string) (pair, error) {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return pair{}, fmt.Errorf("%q is not KEY=VALUE", s)
	}
	return pair{k, v}, nil
}

// pairMap refuses two values for one key.
func pairMap(pairs []pair) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range pairs {
		if _, twice := m[p.key]; twice {
			return nil, usagef("%s is given twice", p.key)
		}
		m[p.key] = p.value
	}
	return m, nil
}

// oneOf makes a parser that takes the given words.
func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		return "", fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
	}
}

// parseList cuts at commas and refuses empty parts.
func parseList(s string) ([]string, error) {
	parts := strings.Split(s, ",")
	for _, p := range parts {
		if p == "" {
			return nil, fmt.Errorf("%q has an empty part", s)
		}
	}
	return parts, nil
}
