package bench

import (
	"fmt"
	"math"
	"testing"
)

// runsOf are runs that saw those values; nil: it could not be seen.
func runsOf(name string, values ...any) (runs []Report) {
	for _, v := range values {
		m := Measure{Name: name}
		if n, ok := v.(float64); ok {
			m.Value = &n
		}
		runs = append(runs, Report{Measures: []Measure{m}})
	}
	return runs
}

// TestCompareWithZero: 0 is a number like others. Only what one side could not see is left out.
func TestCompareWithZero(t *testing.T) {
	for _, c := range []struct {
		name  string
		a, b  []any
		ratio float64
		span  string // of low and high
		worse bool
	}{
		{"put_per_gib", []any{0.0}, []any{0.0}, 1, "1 1", false},
		{"put_per_gib", []any{0.0}, []any{3.0}, math.Inf(1), "+Inf +Inf", true},
		{"put_per_gib", []any{3.0}, []any{0.0}, 0, "0 0", false},
		{"records_per_s", []any{0.0}, []any{3.0}, math.Inf(1), "+Inf +Inf", false},
		{"records_per_s", []any{3.0}, []any{0.0}, 0, "0 0", true},
		{"rounds", []any{0.0}, []any{3.0}, math.Inf(1), "+Inf +Inf", false},                       // nobody judges it
		{"put_per_gib", []any{0.0, 0.0, 0.0}, []any{0.0, 3.0, 3.0}, math.Inf(1), "1 +Inf", false}, // not in every pair
		{"put_per_gib", []any{0.0, 2.0, 2.0}, []any{1.0, 3.0, 3.0}, 1.5, "1.5 +Inf", true},        // one of them was 0
		{"put_per_gib", []any{nil, 2.0}, []any{2.0}, 1, "1 1", false},
	} {
		got := Compare(runsOf(c.name, c.a...), runsOf(c.name, c.b...), 0.1)
		if len(got) != 1 || got[0].Ratio != c.ratio || got[0].Worse != c.worse || fmt.Sprint(got[0].Low, got[0].High) != c.span {
			t.Errorf("%s: %v to %v: %+v", c.name, c.b, c.a, got)
		}
	}
	for _, sides := range [][2]any{{nil, 0.0}, {0.0, nil}, {nil, nil}} {
		if got := Compare(runsOf("put_per_gib", sides[0]), runsOf("put_per_gib", sides[1]), 0.1); len(got) != 0 {
			t.Errorf("%v: %+v", sides, got)
		}
	}
}
