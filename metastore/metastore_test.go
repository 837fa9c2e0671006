package metastore

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

// The sizes of numbers are those of the developer guide: a byte for two digits, without zeros at the end, and one more.
func TestSize(t *testing.T) {
	for n, want := range map[int64]int{
		0: 1, 1: 2, 99: 2, 100: 2, 123: 3, -1: 3, -12345: 5, 1_764_000_000_000: 3, 1_764_123_456_789: 8,
		math.MaxInt64: 11, math.MinInt64: 12, 1e18: 2,
	} {
		if got := (Item{"n": N(n)}).Size(); got != 1+want {
			t.Errorf("size of %d is %d, want %d", n, got-1, want)
		}
	}
	it := Item{"ab": S("é"), "b": B([]byte{1, 2, 3}), "e": S(""), "none": {}}
	if got := it.Size(); got != 2+2+1+3+1+4 {
		t.Errorf("size %d", got)
	}
	if got := (Key{PK: "abc", SK: "é"}).Size(); got != 2+3+2+2 {
		t.Errorf("key size %d", got)
	}
}

func TestValue(t *testing.T) {
	values := []Value{{}, S(""), S("a"), N(0), N(1), B(nil), B([]byte("a"))}
	for i, v := range values {
		for j, w := range values {
			if v.Equal(w) != (i == j) {
				t.Errorf("%v = %v is %v", v, w, v.Equal(w))
			}
		}
	}
	if !B(nil).Equal(B([]byte{})) {
		t.Error("nil and empty bytes differ")
	}
	for want, v := range map[string]Value{"none": {}, `"a"`: S("a"), "-5": N(-5), "0x00ff": B([]byte{0, 255})} {
		if v.String() != want {
			t.Errorf("got %s, want %s", v, want)
		}
	}
	if _, ok := N(1).Compare(S("1")); ok {
		t.Error("a number compares with a string")
	}
}

func TestApplyChangesNeitherSide(t *testing.T) {
	old := Item{"a": N(1), "b": N(2)}
	op := Op{Kind: OpUpdate, Key: Key{"p", "s"}, Set: Item{"c": N(3)}, Add: map[string]int64{"a": 1}, Remove: []string{"b"}}
	after, err := op.Apply(old)
	if err != nil || len(after) != 2 || !after["a"].Equal(N(2)) || !after["c"].Equal(N(3)) {
		t.Errorf("%v, %v", after, err)
	}
	if len(old) != 2 || !old["a"].Equal(N(1)) || len(op.Set) != 1 {
		t.Errorf("old %v, set %v", old, op.Set)
	}
	op.If = []Cond{{Cmp: ItemAbsent}}
	var failed *ConditionError
	if _, err := op.Apply(old); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	failed.Old["a"] = N(9)
	if !old["a"].Equal(N(1)) {
		t.Error("the error shares the map of the store")
	}
}

// In a transaction a condition that does not hold goes before an op that is refused, wherever they stand.
func TestApplyAllOrder(t *testing.T) {
	refused := Op{Kind: OpUpdate, Key: Key{"p", "1"}, Add: map[string]int64{"s": 1}}
	fails := Op{Kind: OpDelete, Key: Key{"p", "2"}, If: []Cond{{Cmp: ItemAbsent}}}
	get := func(Key) (Item, error) { return Item{"s": S("")}, nil }
	for _, ops := range [][]Op{{refused, fails}, {fails, refused}} {
		if _, err := ApplyAll(ops, get); !errors.Is(err, ErrCondition) {
			t.Error(err)
		}
	}
	if _, err := ApplyAll([]Op{refused}, get); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	broken := errors.New("broken")
	if _, err := ApplyAll([]Op{fails}, func(Key) (Item, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestValidateTransactSize(t *testing.T) {
	ops := make([]Op, 11)
	for i := range ops {
		ops[i] = Op{Kind: OpPut, Key: Key{"p", strings.Repeat("s", i+1)}, Set: Item{"x": B(make([]byte, 400_000))}}
	}
	if err := ValidateTransact(ops); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if err := ValidateTransact(ops[:10]); err != nil {
		t.Error(err)
	}
}

func TestPurpose(t *testing.T) {
	ctx := context.Background()
	if p := PurposeOf(ctx); p != PurposeOther {
		t.Error(p)
	}
	if p := PurposeOf(WithPurpose(ctx, PurposeCommit)); p != PurposeCommit {
		t.Error(p)
	}
}
