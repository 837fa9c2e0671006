// Pure.

package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// When is a position in a partition, to be resolved against the log as it is. The zero When is its end.
type When struct {
	kind whenKind
	n    int64         // offset, count, or ms since 1970
	ago  time.Duration // whenAgo
}

type whenKind uint8

const (
	whenLatest whenKind = iota
	whenEarliest
	whenOffset
	whenLast
	whenTime
	whenAgo
)

// Latest is the end of the log: the offset that the next record will get.
func Latest() When { return When{} }

// Earliest is the first offset that is still there.
func Earliest() When { return When{kind: whenEarliest} }

// AtOffset is the given offset, moved into the log if it lies outside of it.
func AtOffset(offset int64) When { return When{kind: whenOffset, n: offset} }

// Last is n offsets before the end, of each partition.
func Last(n int64) When { return When{kind: whenLast, n: n} }

// At is the first record with that timestamp or a later one; the end if there is none.
func At(t time.Time) When { return When{kind: whenTime, n: t.UnixMilli()} }

// Ago is At of so long before the moment of resolving.
func Ago(d time.Duration) When { return When{kind: whenAgo, ago: d} }

// ParseWhen reads a position: earliest, latest, OFFSET, -N (N before the end), @TIME (RFC 3339, or a part of it from the
// year to the minute, then UTC; or @ and milliseconds since 1970), -1h30m or -7d (so long ago). Error: ErrWhen.
func ParseWhen(s string) (When, error) {
	switch s {
	case "earliest":
		return Earliest(), nil
	case "latest":
		return Latest(), nil
	}
	bad := func(why string) (When, error) {
		return When{}, fmt.Errorf("%q is %w: %s (like earliest, latest, 100, -5, @2026-11-01T00:00Z, -1h)", s, ErrWhen, why)
	}
	if at, ok := strings.CutPrefix(s, "@"); ok {
		t, err := parseTime(at)
		if err != nil {
			return bad("what follows @ is no time")
		}
		return When{kind: whenTime, n: t}, nil
	}
	back, ok := strings.CutPrefix(s, "-")
	if n, err := strconv.ParseInt(back, 10, 64); err == nil && n >= 0 && back[0] != '+' && back[0] != '-' {
		if ok {
			return Last(n), nil
		}
		return AtOffset(n), nil
	}
	if !ok {
		return bad("neither a word, an offset nor a time")
	}
	d, err := parseSpan(back)
	if err != nil {
		return bad("what follows - is neither a count nor a duration")
	}
	return Ago(d), nil
}

// timeLayouts are what people write, from the exact to the short. Without a zone a time is UTC, so that a command means
// the same on every machine.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02"}

func parseTime(s string) (ms int64, err error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && len(s) > 4 {
		return n, nil
	}
	for _, layout := range timeLayouts {
		var t time.Time
		if t, err = time.Parse(layout, s); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, err
}

// parseSpan is time.ParseDuration with days in front, and without a sign.
func parseSpan(s string) (time.Duration, error) {
	var days time.Duration
	if before, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, err
		}
		days, s = time.Duration(n)*24*time.Hour, after
		if s == "" {
			return days, nil
		}
	}
	if s == "" || s[0] == '-' || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	d, err := time.ParseDuration(s)
	if days+d < days {
		return 0, fmt.Errorf("%q is too long", s)
	}
	return days + d, err
}

// String is the inverse of ParseWhen.
func (w When) String() string {
	switch w.kind {
	case whenEarliest:
		return "earliest"
	case whenOffset:
		return strconv.FormatInt(w.n, 10)
	case whenLast:
		return "-" + strconv.FormatInt(w.n, 10)
	case whenTime:
		if t := time.UnixMilli(w.n).UTC(); t.Year() >= 1970 && t.Year() <= 9999 {
			return "@" + t.Format("2006-01-02T15:04:05.999Z")
		}
		return "@" + strconv.FormatInt(w.n, 10)
	case whenAgo:
		return "-" + w.ago.String()
	}
	return "latest"
}
