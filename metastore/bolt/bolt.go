// Package bolt is a metastore in one file, by bbolt: for `varve dev` and single machines. A write is confirmed when it is
// on disk.
//
// The file holds two buckets. `varve` has one key, `format`, whose value says that this is a table of ours and which
// version. `items` has all items: key = length of pk (u16, big-endian) | pk | sk; value = codec version u8 | number of
// attributes uvarint | per attribute, ascending: name, type ('s' 'n' 'b'), value | CRC-32C of all before, u32 little-endian.
// Names, strings and bytes have their length as a uvarint before them; numbers are zig-zag varints.
//
// Goroutines: one writer, which takes all writes that wait, applies each by itself and commits them together. So a lone
// writer waits for one commit and nothing else, and a crowd shares commits. A commit is bbolt's: two fdatasync, pages first,
// then the meta page. Reads run in the callers' goroutines.
package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/varvelog/varve/metastore"
	bbolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrLocked: another process has the file open, so it lives. It is ErrRefused too.
var ErrLocked = errors.New("file is in use by another process: stop that one, or name another file")

const (
	lockWait = 200 * time.Millisecond // how long Open waits for a process that is just ending
	mapSize  = 1 << 20                // address space mapped at first; also what the file grows to at first
	maxPage  = 1 << 20                // bytes of a page of a query, as in DynamoDB
	format   = "varve table 1"        // the format marker
)

// Names in the file.
var (
	metaBucket = []byte("varve")
	formatKey  = []byte("format")
	itemBucket = []byte("items")
)

// Store is a table in a file.
type Store struct {
	path    string
	db      *bbolt.DB
	queue   chan *request // unbuffered: a request that was taken is answered
	quit    chan struct{} // closed by Close
	stopped chan struct{} // closed by the writer
	closing sync.Once
	err     error // of closing the file
}

var _ metastore.Store = (*Store)(nil)

// Open opens the table in the file path, and makes it if there is none. The folder must exist. Errors: ErrRefused: the file
// is locked (ErrLocked too), cannot be opened, is damaged or not of ours.
func Open(path string) (*Store, error) {
	s := &Store{path: path, queue: make(chan *request), quit: make(chan struct{}), stopped: make(chan struct{})}
	err := s.guard(func() (err error) {
		s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: lockWait, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapSize, NoStatistics: true,
		})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: open %s: %w", metastore.ErrRefused, path, ErrLocked)
	case errors.Is(err, metastore.ErrRefused):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: open %s: %w", metastore.ErrRefused, path, err)
	}
	if err := s.guard(s.prepare); err != nil {
		s.db.Close()
		return nil, fmt.Errorf("%w: open %s: %w", metastore.ErrRefused, path, err)
	}
	go s.writer()
	return s, nil
}

// Close waits for the write at hand and closes the file. Calls that come later are refused.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		<-s.stopped
		s.err = s.db.Close()
	})
	return s.err
}

// Get returns the item. Every read is consistent.
func (s *Store) Get(ctx context.Context, key metastore.Key, _ metastore.Consistency) (it metastore.Item, err error) {
	if err := cmp.Or(key.Validate(), done(ctx)); err != nil {
		return nil, err
	}
	err = s.view(func(b *bbolt.Bucket) error {
		it, err = s.load(b, key)
		return err
	})
	if err == nil && it == nil {
		err = fmt.Errorf("%w: %s", metastore.ErrNotFound, key)
	}
	return it, err
}

// Query returns a page.
func (s *Store) Query(ctx context.Context, q metastore.Query) (page metastore.Page, err error) {
	if err := cmp.Or(q.Validate(), done(ctx)); err != nil {
		return page, err
	}
	pk := prefix(q.PK)
	all := append(bytes.Clone(pk), q.Prefix...)
	after := append(bytes.Clone(pk), q.After...)
	err = s.view(func(b *bbolt.Bucket) error {
		c, start := b.Cursor(), all
		if bytes.Compare(after, all) > 0 {
			start = after
		}
		k, v := c.Seek(start)
		if q.After != "" && bytes.Equal(k, after) {
			k, v = c.Next()
		}
		for size := 0; bytes.HasPrefix(k, all); k, v = c.Next() {
			size += len(v)
			if n := len(page.Rows); n > 0 && (n == q.Limit || size > maxPage) {
				page.Next = page.Rows[n-1].SK
				return nil
			}
			sk := string(k[len(pk):])
			it, err := s.decode(metastore.Key{PK: q.PK, SK: sk}, v)
			if err != nil {
				return err
			}
			page.Rows = append(page.Rows, metastore.Row{SK: sk, Item: it})
		}
		return nil
	})
	if err != nil {
		return metastore.Page{}, err
	}
	return page, nil
}

// prepare makes a new file a table, or checks that it is one.
func (s *Store) prepare() error {
	if err := s.whole(); err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta != nil {
			if got := meta.Get(formatKey); string(got) != format {
				return fmt.Errorf("format %q, this build knows %q", got, format)
			}
			if tx.Bucket(itemBucket) == nil {
				return errors.New("the file is damaged: no items")
			}
			return nil
		}
		if k, _ := tx.Cursor().First(); k != nil {
			return errors.New("the file belongs to another program")
		}
		meta, err := tx.CreateBucket(metaBucket)
		if err == nil {
			err = meta.Put(formatKey, []byte(format))
		}
		if err == nil {
			_, err = tx.CreateBucket(itemBucket)
		}
		return err
	})
}

// whole refuses a file that is shorter than its own account of itself.
func (s *Store) whole() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("the file is damaged: %d bytes, %d are missing", info.Size(), tx.Size()-info.Size())
		}
		return nil
	})
}

// view runs f on the items in a read transaction.
func (s *Store) view(f func(*bbolt.Bucket) error) error {
	var err error
	failed := s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			err = f(tx.Bucket(itemBucket))
			return nil
		})
	})
	if errors.Is(failed, bolterrors.ErrDatabaseNotOpen) {
		return s.closed()
	}
	return cmp.Or(failed, err)
}

func (s *Store) load(b *bbolt.Bucket, key metastore.Key) (metastore.Item, error) {
	v := b.Get(storedKey(key))
	if v == nil {
		return nil, nil
	}
	return s.decode(key, v)
}

func (s *Store) decode(key metastore.Key, v []byte) (metastore.Item, error) {
	it, err := decode(v)
	if err != nil {
		return nil, fmt.Errorf("%w: item %s in %s is damaged: %w", metastore.ErrRefused, key, s.path, err)
	}
	return it, nil
}

func (s *Store) closed() error { return fmt.Errorf("%w: %s is closed", metastore.ErrRefused, s.path) }

// guard runs f, which calls bbolt, and turns a panic into an error: bbolt asserts what it reads, and a mapped page that is
// not in the file is a memory fault.
func (s *Store) guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s is damaged: %v", metastore.ErrRefused, s.path, r)
		}
	}()
	return f()
}

// done returns ErrUnknown if ctx is over.
func done(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%w: %w", metastore.ErrUnknown, err)
	}
	return nil
}
