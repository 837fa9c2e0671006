// Pure.

package metastore

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Validate checks what can be known of op before any store sees it: keys, names, and parts that do not fit the kind.
// Drivers call it first, so that all refuse alike. Error: ErrRefused, or ErrTooLarge for a put that can never fit.
func (op Op) Validate() error {
	if err := op.Key.Validate(); err != nil {
		return err
	}
	changes := len(op.Add) + len(op.Remove)
	switch op.Kind {
	case OpPut:
		if changes > 0 {
			return refuse("put %s with add or remove", op.Key)
		}
		if n := op.Key.Size() + op.Set.Size(); n > MaxItem {
			return fmt.Errorf("%w: put %s of %d bytes", ErrTooLarge, op.Key, n)
		}
	case OpUpdate:
		if changes += len(op.Set); changes == 0 {
			return refuse("update %s of nothing", op.Key)
		}
	case OpDelete, OpCheck:
		if changes+len(op.Set) > 0 {
			return refuse("delete or check %s with changes", op.Key)
		}
	default:
		return refuse("%s: kind %d", op.Key, op.Kind)
	}
	if changes+len(op.If) > MaxTerms {
		return refuse("%s: more than %d conditions and changes", op.Key, MaxTerms)
	}
	if err := op.validateAttrs(); err != nil {
		return fmt.Errorf("%s: %w", op.Key, err)
	}
	return nil
}

// ValidateTransact checks ops as one transaction: each op, their number, keys and total size. Errors: ErrRefused, ErrTooLarge.
func ValidateTransact(ops []Op) error {
	if len(ops) < 1 || len(ops) > MaxTransact {
		return refuse("transaction of %d ops, want 1 to %d", len(ops), MaxTransact)
	}
	seen, size := make(map[Key]bool, len(ops)), 0
	for i, op := range ops {
		if err := op.Validate(); err != nil {
			return fmt.Errorf("op %d: %w", i, err)
		}
		if op.Kind == OpCheck && len(op.If) == 0 {
			return refuse("op %d: check of nothing on %s", i, op.Key)
		}
		if seen[op.Key] {
			return refuse("op %d: %s occurs twice in one transaction", i, op.Key)
		}
		seen[op.Key] = true
		size += op.Key.Size() + op.Set.Size()
	}
	if size > MaxTransactBytes {
		return fmt.Errorf("%w: transaction of %d bytes, at most %d", ErrTooLarge, size, MaxTransactBytes)
	}
	return nil
}

// ValidateWrite checks op as a write of its own. Errors: as Validate; ErrRefused for a check.
func ValidateWrite(op Op) error {
	if op.Kind == OpCheck {
		return refuse("check of %s outside a transaction", op.Key)
	}
	return op.Validate()
}

// Validate checks q. Error: ErrRefused.
func (q Query) Validate() error {
	switch {
	case q.Limit < 0:
		return refuse("query with limit %d", q.Limit)
	case len(q.Prefix) > MaxSK || len(q.After) > MaxSK || !utf8.ValidString(q.Prefix) || !utf8.ValidString(q.After):
		return refuse("query with prefix or after that is no sort key")
	}
	return Key{PK: q.PK, SK: "-"}.Validate()
}

// Apply returns the item that op, which must be valid, makes of old; nil means that there is none, in both. Drivers that
// evaluate ops themselves use it. It changes neither old nor op. Errors: *ConditionError with old, ErrRefused, ErrTooLarge.
func (op Op) Apply(old Item) (Item, error) {
	for _, c := range op.If {
		if !c.Holds(old) {
			return nil, &ConditionError{Key: op.Key, Old: old.Clone()}
		}
	}
	switch op.Kind {
	case OpPut:
		if op.Set == nil {
			return Item{}, nil
		}
		return op.Set.Clone(), nil
	case OpUpdate:
		return op.update(old)
	case OpCheck:
		return old, nil
	}
	return nil, nil
}

func (op Op) update(old Item) (Item, error) {
	it := make(Item, len(old)+len(op.Set)+len(op.Add))
	for a, v := range old {
		it[a] = v
	}
	for a, v := range op.Set {
		it[a] = v
	}
	for a, d := range op.Add {
		v, there := it[a]
		n, ok := v.Num()
		if there && !ok {
			return nil, refuse("%s: add to %q, which is no number", op.Key, a)
		}
		if d > 0 && n > math.MaxInt64-d || d < 0 && n < math.MinInt64-d {
			return nil, refuse("%s: add to %q leaves int64", op.Key, a)
		}
		it[a] = N(n + d)
	}
	for _, a := range op.Remove {
		delete(it, a)
	}
	if n := op.Key.Size() + it.Size(); n > MaxItem {
		return nil, fmt.Errorf("%w: update makes %s %d bytes", ErrTooLarge, op.Key, n)
	}
	return it, nil
}

func (op Op) validateAttrs() error {
	changed := make(map[string]bool, len(op.Set)+len(op.Add)+len(op.Remove))
	once := func(a string) error {
		if changed[a] {
			return refuse("attribute %q is changed twice", a)
		}
		changed[a] = true
		return validateAttr(a)
	}
	for a, v := range op.Set {
		if err := once(a); err != nil {
			return err
		}
		if err := v.validate(); err != nil {
			return fmt.Errorf("attribute %q: %w", a, err)
		}
	}
	for a := range op.Add {
		if err := once(a); err != nil {
			return err
		}
	}
	for _, a := range op.Remove {
		if err := once(a); err != nil {
			return err
		}
	}
	for _, c := range op.If {
		if err := c.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (c Cond) validate() error {
	switch c.Cmp {
	case ItemExists, ItemAbsent:
		return nil
	case Exists, Absent:
		return validateAttr(c.Attr)
	case Eq, Ne, Lt, Le, Gt, Ge:
		if err := validateAttr(c.Attr); err != nil {
			return err
		}
		if err := c.Value.validate(); err != nil {
			return fmt.Errorf("condition on %q: %w", c.Attr, err)
		}
		return nil
	}
	return refuse("comparison %d", c.Cmp)
}

// Validate checks that both parts are as Key says, and short enough. Error: ErrRefused.
func (k Key) Validate() error {
	switch {
	case k.PK == "" || len(k.PK) > MaxPK || !utf8.ValidString(k.PK):
		return refuse("partition key %.80q", k.PK)
	case k.SK == "" || len(k.SK) > MaxSK || !utf8.ValidString(k.SK):
		return refuse("sort key %.80q", k.SK)
	}
	return nil
}

func (v Value) validate() error {
	if v.kind == kindNone {
		return refuse("no value")
	}
	if !utf8.ValidString(v.s) {
		return refuse("string that is not UTF-8")
	}
	return nil
}

func validateAttr(a string) error {
	if a == "" || a == "pk" || a == "sk" || len(a) > MaxAttr || !utf8.ValidString(a) {
		return refuse("attribute name %.80q", a)
	}
	return nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// ApplyAll is Apply for a transaction, which must be valid: it returns the item after each op, or why none may be applied. A
// condition that does not hold goes before every other error, and the first of those is the one reported. get returns the
// current item, nil: none; its errors are returned as they are.
func ApplyAll(ops []Op, get func(Key) (Item, error)) ([]Item, error) {
	after := make([]Item, len(ops))
	var other error
	for i, op := range ops {
		old, err := get(op.Key)
		if err != nil {
			return nil, err
		}
		it, err := op.Apply(old)
		var failed *ConditionError
		switch {
		case errors.As(err, &failed):
			failed.Index = i
			return nil, failed
		case err != nil && other == nil:
			other = fmt.Errorf("op %d: %w", i, err)
		}
		after[i] = it
	}
	if other != nil {
		return nil, other
	}
	return after, nil
}
