// Package storetest is the conformance suite of objstore.Store: one named subtest per rule of the contract. Every driver
// and every wrapper runs it:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) objstore.Store { return mem.New() })
//	}
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/objstore"
)

// Run checks every rule. open is called once per rule and returns a store that holds no objects whose keys start with
// "storetest/"; a rule uses keys of its own, so that a remote store may be the same each time.
func Run(t *testing.T, open func(t *testing.T) objstore.Store) { run(t, open, false) }

// RunASCII is Run for a store that lists keys beyond ASCII in a wrong order; Varve names none.
func RunASCII(t *testing.T, open func(t *testing.T) objstore.Store) { run(t, open, true) }

func run(t *testing.T, open func(t *testing.T) objstore.Store, ascii bool) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			s := newSuite(t, open(t))
			s.ascii = ascii
			rule.check(s)
		})
	}
}

// rules are all rules, in the order of the contract's text.
var rules = []struct {
	name  string
	check func(*suite)
}{
	{"put then get gives the same bytes", putGet},
	{"put replaces what was there", putReplaces},
	{"put of the same key and bytes is harmless", putRepeats},
	{"put keeps no reference to the body", putKeepsNothing},
	{"put of an empty object", putEmpty},
	{"put of a big object", putBig},
	{"puts and gets of one key see whole objects", putWhole},
	{"puts of many keys at once", putMany},
	{"odd but legal keys", oddKeys},
	{"illegal keys are refused", illegalKeys},
	{"get of an absent key is not found", getAbsent},
	{"the caller owns what get returns", getOwned},
	{"ranges inside", rangesInside},
	{"ranges outside", rangesOutside},
	{"ranges of an empty object", rangesEmpty},
	{"ranges into memory of the caller's", rangesInto},
	{"list is in byte order", listOrder},
	{"list starts after a key", listAfter},
	{"list is cut at the limit", listLimit},
	{"list matches prefixes exactly", listPrefix},
	{"list tells size and time", listInfo},
	{"list pages through more than a thousand", listPages},
	{"delete removes", deleteRemoves},
	{"delete of an absent key is fine", deleteAbsent},
	{"delete of a thousand keys", deleteThousand},
	{"delete of more keys is refused", deleteTooMany},
	{"a cancelled context ends calls", cancelled},
}

// reporter is what rules need of a testing.T. The suite's own test listens in, to see that rules find broken stores.
type reporter interface {
	Helper()
	Context() context.Context
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// suite is one rule's view of the store: keys are relative to the rule's own prefix, and errors end the rule.
type suite struct {
	reporter
	objstore.Store
	prefix string
	ascii  bool // list no keys beyond ASCII
}

func newSuite(r reporter, s objstore.Store) *suite {
	return &suite{reporter: r, Store: s, prefix: fmt.Sprintf("storetest/%016x/", rand.Uint64())}
}

func (s *suite) put(key string, body []byte) {
	s.Helper()
	if err := s.Put(s.Context(), s.prefix+key, body); err != nil {
		s.Fatalf("put %q: %v", key, err)
	}
}

func (s *suite) get(key string, r objstore.Range) []byte {
	s.Helper()
	o, err := s.Get(s.Context(), s.prefix+key, r)
	if err != nil {
		s.Fatalf("get %q, %s: %v", key, r, err)
	}
	return o.Body
}

// want checks that key holds exactly body.
func (s *suite) want(key string, body []byte) {
	s.Helper()
	o, err := s.Get(s.Context(), s.prefix+key, objstore.Range{})
	if err != nil {
		s.Fatalf("get %q: %v", key, err)
	}
	if !bytes.Equal(o.Body, body) || o.Size != int64(len(body)) {
		s.Fatalf("get %q: %d bytes (size %d) that differ from the %d put", key, len(o.Body), o.Size, len(body))
	}
}

// wantErr checks that err matches target.
func (s *suite) wantErr(what string, err, target error) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Errorf("%s: %v, want %v", what, err, target)
	}
}

// wantAbsent checks that key holds nothing.
func (s *suite) wantAbsent(key string) {
	s.Helper()
	_, err := s.Get(s.Context(), s.prefix+key, objstore.Range{})
	s.wantErr("get of "+key, err, objstore.ErrNotFound)
}

// list returns the keys of one page, without the rule's prefix.
func (s *suite) list(prefix, after string, limit int) []string {
	s.Helper()
	if after != "" {
		after = s.prefix + after
	}
	page, err := s.List(s.Context(), s.prefix+prefix, after, limit)
	if err != nil {
		s.Fatalf("list %q after %q: %v", prefix, after, err)
	}
	keys := make([]string, len(page))
	for i, info := range page {
		if len(info.Key) < len(s.prefix) {
			s.Fatalf("list %q: stray key %q", prefix, info.Key)
		}
		keys[i] = info.Key[len(s.prefix):]
	}
	return keys
}

func (s *suite) delete(keys ...string) {
	s.Helper()
	full := make([]string, len(keys))
	for i, k := range keys {
		full[i] = s.prefix + k
	}
	if err := s.Delete(s.Context(), full...); err != nil {
		s.Fatalf("delete: %v", err)
	}
}

// random returns n bytes that do not compress and do not repeat.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = r.Read(b) // never fails
	return b
}

// ended returns a context that was cancelled.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
