package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broken is a mem store with one method replaced.
type broken struct {
	*mem.Store
	put    func(ctx context.Context, key string, body []byte) error
	get    func(ctx context.Context, key string, r objstore.Range) (objstore.Object, error)
	list   func(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error)
	delete func(ctx context.Context, keys ...string) error
}

func (b *broken) Put(ctx context.Context, key string, body []byte) error {
	return b.put(ctx, key, body)
}
func (b *broken) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	return b.get(ctx, key, r)
}
func (b *broken) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	return b.list(ctx, prefix, after, limit)
}
func (b *broken) Delete(ctx context.Context, keys ...string) error { return b.delete(ctx, keys...) }

// mutants break the rule of their name. Each gets a store that works.
var mutants = map[string]func(b *broken, good *mem.Store){
	"put then get gives the same bytes": func(b *broken, good *mem.Store) {
		b.get = changed(good, func(o *objstore.Object) { o.Body[len(o.Body)/2] ^= 1 })
	},
	"put replaces what was there": func(b *broken, good *mem.Store) {
		b.put = func(ctx context.Context, key string, body []byte) error {
			if _, err := good.Get(ctx, key, objstore.Range{}); err == nil {
				return nil
			}
			return good.Put(ctx, key, body)
		}
	},
	"put of the same key and bytes is harmless": func(b *broken, good *mem.Store) {
		b.put = func(ctx context.Context, key string, body []byte) error {
			if _, err := good.Get(ctx, key, objstore.Range{}); err == nil {
				return objstore.ErrRefused
			}
			return good.Put(ctx, key, body)
		}
	},
	"put keeps no reference to the body": func(b *broken, good *mem.Store) {
		var kept []byte
		b.put = func(_ context.Context, _ string, body []byte) error { kept = body; return nil }
		b.get = func(context.Context, string, objstore.Range) (objstore.Object, error) {
			return objstore.Object{Body: kept, Size: int64(len(kept))}, nil
		}
	},
	"put of an empty object": func(b *broken, good *mem.Store) {
		b.put = only(good, func(_ string, body []byte) bool { return len(body) > 0 })
	},
	"put of a big object": func(b *broken, good *mem.Store) {
		b.put = func(ctx context.Context, key string, body []byte) error {
			return good.Put(ctx, key, body[:min(len(body), 8<<20)])
		}
	},
	"puts and gets of one key see whole objects": func(b *broken, good *mem.Store) {
		var n atomic.Int64
		b.get = changed(good, func(o *objstore.Object) {
			if n.Add(1) > 3 {
				o.Body = o.Body[:len(o.Body)-1]
			}
		})
	},
	"puts of many keys at once": func(b *broken, good *mem.Store) {
		b.put = only(good, func(key string, _ []byte) bool { return !strings.HasSuffix(key, "/e7/3") })
	},
	"odd but legal keys": func(b *broken, good *mem.Store) {
		b.put = func(ctx context.Context, key string, body []byte) error {
			return good.Put(ctx, strings.ReplaceAll(key, "+", " "), body)
		}
	},
	"illegal keys are refused": func(b *broken, good *mem.Store) {
		b.delete = func(ctx context.Context, keys ...string) error {
			return good.Delete(ctx, slices.DeleteFunc(keys, func(k string) bool { return strings.Contains(k, "..") })...)
		}
	},
	"get of an absent key is not found": func(b *broken, good *mem.Store) {
		b.get = func(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
			o, err := good.Get(ctx, key, r)
			if errors.Is(err, objstore.ErrNotFound) {
				err = nil
			}
			return o, err
		}
	},
	"the caller owns what get returns": func(b *broken, good *mem.Store) {
		cached := map[string]objstore.Object{}
		b.get = func(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
			if _, ok := cached[r.String()]; !ok {
				cached[r.String()], _ = good.Get(ctx, key, r)
			}
			return cached[r.String()], nil
		}
	},
	"ranges inside": func(b *broken, good *mem.Store) {
		b.get = changed(good, func(o *objstore.Object) { o.Size = int64(len(o.Body)) })
	},
	"ranges outside": func(b *broken, good *mem.Store) {
		b.get = func(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
			o, err := good.Get(ctx, key, r)
			if errors.Is(err, objstore.ErrRange) {
				return good.Get(ctx, key, objstore.Suffix(1)) // cut at the end, as S3 does
			}
			return o, err
		}
	},
	"ranges of an empty object": func(b *broken, good *mem.Store) {
		b.get = func(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
			o, err := good.Get(ctx, key, r)
			if err == nil && o.Size == 0 && !r.IsAll() {
				return o, objstore.ErrRange
			}
			return o, err
		}
	},
	"ranges into memory of the caller's": func(b *broken, good *mem.Store) {
		b.get = func(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
			o, err := good.Get(ctx, key, r)
			for i := range o.Parts {
				o.Parts[i] = append(o.Parts[i], 0)[:len(o.Parts[i])] // one byte too many
			}
			return o, err
		}
	},
	"list is in byte order": func(b *broken, good *mem.Store) {
		b.list = listed(good, func(page []objstore.Info) []objstore.Info { slices.Reverse(page); return page })
	},
	"list starts after a key": func(b *broken, good *mem.Store) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
			if after != "" {
				after = after[:len(after)-1]
			}
			return good.List(ctx, prefix, after, limit)
		}
	},
	"list is cut at the limit": func(b *broken, good *mem.Store) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
			return good.List(ctx, prefix, after, limit+1)
		}
	},
	"list matches prefixes exactly": func(b *broken, good *mem.Store) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
			return good.List(ctx, prefix[:strings.LastIndex(prefix, "/")+1], after, limit)
		}
	},
	"list tells size and time": func(b *broken, good *mem.Store) {
		b.list = listed(good, func(page []objstore.Info) []objstore.Info { page[0].Size = 0; return page })
	},
	"list pages through more than a thousand": func(b *broken, good *mem.Store) {
		b.list = listed(good, func(page []objstore.Info) []objstore.Info { return page[:min(len(page), 999)] })
	},
	"delete removes": func(b *broken, good *mem.Store) {
		b.delete = func(ctx context.Context, keys ...string) error { return good.Delete(ctx, keys[:1]...) }
	},
	"delete of an absent key is fine": func(b *broken, good *mem.Store) {
		b.delete = func(ctx context.Context, keys ...string) error {
			for _, k := range keys {
				if _, err := good.Get(ctx, k, objstore.Range{}); err != nil {
					return err
				}
			}
			return good.Delete(ctx, keys...)
		}
	},
	"delete of a thousand keys": func(b *broken, good *mem.Store) {
		b.delete = func(ctx context.Context, keys ...string) error {
			return good.Delete(ctx, keys[:min(len(keys), 999)]...)
		}
	},
	"delete of more keys is refused": func(b *broken, good *mem.Store) {
		b.delete = func(ctx context.Context, keys ...string) error { return good.Delete(ctx, slices.Compact(keys)...) }
	},
	"a cancelled context ends calls": func(b *broken, good *mem.Store) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
			return good.List(context.WithoutCancel(ctx), prefix, after, limit)
		}
	},
}

// changed is a Get that changes what it returns.
func changed(good *mem.Store, change func(*objstore.Object)) func(context.Context, string, objstore.Range) (objstore.Object, error) {
	return func(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
		o, err := good.Get(ctx, key, r)
		if err == nil && len(o.Body) > 0 {
			change(&o)
		}
		return o, err
	}
}

// only is a Put that drops what keep does not hold for.
func only(good *mem.Store, keep func(string, []byte) bool) func(context.Context, string, []byte) error {
	return func(ctx context.Context, key string, body []byte) error {
		if !keep(key, body) {
			return nil
		}
		return good.Put(ctx, key, body)
	}
}

// listed is a List that changes what it returns.
func listed(good *mem.Store, change func([]objstore.Info) []objstore.Info) func(context.Context, string, string, int) ([]objstore.Info, error) {
	return func(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
		page, err := good.List(ctx, prefix, after, limit)
		if err == nil && len(page) > 0 {
			page = change(page)
		}
		return page, err
	}
}

// listener is a reporter that keeps what is reported.
type listener struct {
	ctx  context.Context
	mu   sync.Mutex
	said bytes.Buffer
}

func (l *listener) Helper()                  {}
func (l *listener) Context() context.Context { return l.ctx }
func (l *listener) Error(args ...any)        { l.Errorf("%s", fmt.Sprint(args...)) }
func (l *listener) Errorf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.said, format+"\n", args...)
}
func (l *listener) Fatalf(format string, args ...any) {
	l.Errorf(format, args...)
	runtime.Goexit()
}

// TestMutants checks that each rule finds a store that breaks it, and passes one that does not.
func TestMutants(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			mutate, ok := mutants[rule.name]
			if !ok {
				t.Fatal("no store breaks this rule")
			}
			run := func(s objstore.Store) string {
				l := &listener{ctx: t.Context()}
				var wg sync.WaitGroup
				wg.Go(func() { rule.check(newSuite(l, s)) })
				wg.Wait()
				return l.said.String()
			}
			if said := run(mem.New()); said != "" {
				t.Errorf("a good store fails: %s", said)
			}
			good := mem.New()
			b := &broken{Store: good, put: good.Put, get: good.Get, list: good.List, delete: good.Delete}
			mutate(b, good)
			if said := run(b); said == "" {
				t.Error("a store that breaks it passes")
			}
		})
	}
	if len(mutants) != len(rules) {
		t.Errorf("%d mutants for %d rules", len(mutants), len(rules))
	}
}
