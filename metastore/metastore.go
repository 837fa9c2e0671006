// Package metastore is the contract of the store that holds Varve's facts: one table of small items under (partition key,
// sort key), changed by conditional writes alone, as DynamoDB has them. Data never comes here.
//
// Drivers live in the folders beside this one (mem, bolt, dynamo), the wrappers fault, sim and meter too; storetest holds the
// rules below as a conformance suite that runs on every one of them. Package records is the catalogue of items.
package metastore

import (
	"context"
	"errors"
	"fmt"
)

// Store is a table. All methods may be called from many goroutines.
//
// A time-out means unknown, never failed. Drivers never repeat a conditional write by themselves, and every failed
// condition brings the old item, so that a caller recognises its own success by a version or nonce.
type Store interface {
	// Get returns the item of key. The caller owns it. Errors: ErrNotFound, ErrThrottled, ErrRefused, ErrUnknown.
	Get(ctx context.Context, key Key, c Consistency) (Item, error)

	// Query returns items of one partition key in ascending byte order of sort keys. Errors: as Get, never ErrNotFound.
	Query(ctx context.Context, q Query) (Page, error)

	// Write applies op if its conditions hold, and returns the item as it is afterwards, which the caller owns (nil after a
	// delete).
	// Errors: a *ConditionError (ErrCondition): not applied, with the old item. ErrThrottled, ErrConflict, ErrRefused,
	// ErrTooLarge: not applied. ErrUnknown: perhaps applied, perhaps later.
	Write(ctx context.Context, op Op) (Item, error)

	// Transact applies all of ops, 1 to MaxTransact, or none; no key may occur twice. Errors: as Write; a *ConditionError
	// names the first op whose conditions did not hold.
	Transact(ctx context.Context, ops []Op) error
}

// Bounds of DynamoDB, which all drivers keep.
const (
	MaxTransact      = 100       // ops in a transaction
	MaxTransactBytes = 4 << 20   // keys and sizes of Set of all ops of a transaction
	MaxItem          = 400 << 10 // bytes of an item, Key.Size and Item.Size
	MaxPK            = 2048      // bytes of a partition key
	MaxSK            = 1024      // bytes of a sort key
	MaxTerms         = 100       // conditions of an op, plus attributes that an update changes
	MaxAttr          = 255       // bytes of an attribute name
)

// Consistency of a read.
type Consistency bool

const (
	// Eventual reads may return an old version: for caches and displays, never for a decision.
	Eventual Consistency = false
	// Consistent reads see every write that was confirmed before they began.
	Consistent Consistency = true
)

// Key names an item. Both parts are non-empty UTF-8 (an item that needs no sort key uses "-").
type Key struct{ PK, SK string }

// String is k for people.
func (k Key) String() string { return k.PK + " / " + k.SK }

// Size is what the key adds to the size of its item: the names pk and sk, and the values.
func (k Key) Size() int { return len("pk") + len(k.PK) + len("sk") + len(k.SK) }

// Item is the attributes of an item without its key. Attribute names are words of RECORDS.md.
type Item map[string]Value

// Clone returns a copy that shares the bytes of values, which nobody changes in place.
func (it Item) Clone() Item {
	if it == nil {
		return nil
	}
	c := make(Item, len(it))
	for k, v := range it {
		c[k] = v
	}
	return c
}

// Size is what DynamoDB charges an item for: names and values, without the key, which Key.Size adds.
func (it Item) Size() int {
	n := 0
	for k, v := range it {
		n += len(k) + v.size()
	}
	return n
}

// Op is one conditional write.
type Op struct {
	Kind OpKind
	Key  Key
	// Set: for OpPut the whole item; for OpUpdate the attributes to set.
	Set Item
	// Add (OpUpdate only) adds to number attributes; an absent one counts as 0. One that is no number, or a sum that is no
	// int64, is ErrRefused. No attribute may be in two of Set, Add, Remove.
	Add map[string]int64
	// Remove (OpUpdate only) removes attributes.
	Remove []string
	// If lists conditions that must all hold for the item as it is before the write; an absent item has no attributes.
	If []Cond
}

// OpKind says what an Op does.
type OpKind uint8

// The kinds of Op.
const (
	OpPut    OpKind = iota + 1 // replaces the whole item
	OpUpdate                   // changes attributes; creates the item if it is absent and the conditions hold
	OpDelete                   // removes the item; an absent one is fine if the conditions hold
	OpCheck                    // changes nothing; only in a transaction, with at least one condition
)

// Cond compares one attribute. An ordering or Eq on an absent attribute, or on one of another type, does not hold; Ne holds.
type Cond struct {
	Attr  string // ignored by ItemExists and ItemAbsent
	Cmp   Cmp
	Value Value // for Eq to Ge
}

// Cmp is a comparison.
type Cmp uint8

// The comparisons. Numbers compare by value, strings and bytes bytewise.
const (
	Eq Cmp = iota + 1
	Ne
	Lt
	Le
	Gt
	Ge
	Exists     // the attribute is there
	Absent     // the attribute is not there
	ItemExists // the item is there
	ItemAbsent // the item is not there
)

// Query asks for a stretch of one partition key.
type Query struct {
	PK          string
	Prefix      string // sort keys start with it; empty: all
	After       string // only sort keys greater than it; empty: from the first
	Limit       int    // most items of a page, 0: as many as the store likes, about 1 MB
	Consistency Consistency
}

// Page is a piece of a Query's answer. A Page may hold fewer items than Limit, even none, and still not be the last.
type Page struct {
	Rows []Row
	Next string // Query.After of the next page; empty: this was the last
}

// Row is one item of a Page.
type Row struct {
	SK   string
	Item Item
}

// The errors of a Store, each with the caller's next move. Drivers wrap them (test with errors.Is) and add what the
// store said.
var (
	// ErrNotFound: there is no such item.
	ErrNotFound = errors.New("item not found")
	// ErrCondition: a condition did not hold; nothing changed. Look at the old item: it may be your own success.
	ErrCondition = errors.New("condition failed")
	// ErrConflict: another transaction touches the item; nothing changed. Repeat with jitter, a bounded number of times.
	ErrConflict = errors.New("transaction conflict")
	// ErrThrottled: over capacity; nothing changed. Back off with jitter and repeat.
	ErrThrottled = errors.New("metastore throttles")
	// ErrRefused: configuration, credentials, no such table, an invalid request; nothing changed. Somebody must act.
	ErrRefused = errors.New("metastore refuses")
	// ErrTooLarge: the item would pass MaxItem; nothing changed.
	ErrTooLarge = errors.New("item too large")
	// ErrUnknown: time-out, reset, 5xx. A write may have happened or may yet happen: repeat it; the condition decides.
	ErrUnknown = errors.New("outcome unknown")
)

// ConditionError is a failed condition. It matches ErrCondition.
type ConditionError struct {
	Index int  // which op of a transaction, 0 otherwise
	Key   Key  // of that op
	Old   Item // the item as it is; nil: there is none
}

// Error names the key, never what the item holds.
func (e *ConditionError) Error() string { return fmt.Sprintf("%v on %s", ErrCondition, e.Key) }

// Is reports whether target is ErrCondition.
func (e *ConditionError) Is(target error) bool { return target == ErrCondition }

// Purpose says what a request is for: a label of varve_ddb_units_total.
type Purpose string

// The purposes that exist so far.
const (
	PurposeCommit    Purpose = "commit"    // a flush
	PurposeHeartbeat Purpose = "heartbeat" // sign of life without a flush
	PurposeSlot      Purpose = "slot"      // sessions and leadership
	PurposeTopic     Purpose = "topic"
	PurposePoll      Purpose = "poll" // watching for changes
	PurposeOther     Purpose = "other"
)

type purposeKey struct{}

// WithPurpose marks the requests made under the returned context.
func WithPurpose(ctx context.Context, p Purpose) context.Context {
	return context.WithValue(ctx, purposeKey{}, p)
}

// PurposeOf returns the purpose of ctx, PurposeOther if none was given.
func PurposeOf(ctx context.Context) Purpose {
	if p, ok := ctx.Value(purposeKey{}).(Purpose); ok {
		return p
	}
	return PurposeOther
}
