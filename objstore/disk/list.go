package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/varvelog/varve/objstore"
)

// List implements objstore.Store. It reads only folders that can hold keys of the page.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	if err := objstore.Check(ctx); err != nil {
		return nil, err
	}
	w := walk{ctx: ctx, s: s, prefix: prefix, after: after, limit: objstore.ListLimit(limit)}
	// The folder that holds all matches: what the prefix names up to its last slash.
	top := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if top != "" && check(ctx, strings.TrimSuffix(top, "/")) != nil {
		return nil, nil // "../", "//", temporary files: no key starts with that
	}
	if err := w.folder(top); err != nil {
		return nil, s.explain("list", prefix, err)
	}
	return w.page, nil
}

// walk is the state of one List.
type walk struct {
	ctx           context.Context
	s             *Store
	prefix, after string
	limit         int
	page          []objstore.Info
}

// child is an entry of a folder under the name it sorts by: files "a", folders "a/". By bare names "a/b" would come before
// "a-b", which is not the byte order of keys.
type child struct {
	key   string
	entry fs.DirEntry
}

// folder adds what lies below the folder of key prefix dir, which is empty or ends with a slash.
func (w *walk) folder(dir string) error {
	if err := objstore.Ended(w.ctx); err != nil {
		return err
	}
	entries, err := os.ReadDir(w.s.path(dir))
	if absent(err) {
		return nil // removed meanwhile, or a file
	}
	if err != nil {
		return err
	}
	var children []child
	for _, e := range entries {
		key := dir + e.Name()
		if e.IsDir() {
			key += "/"
		}
		if w.wanted(key, e) {
			children = append(children, child{key, e})
		}
	}
	slices.SortFunc(children, func(a, b child) int { return strings.Compare(a.key, b.key) })
	for _, c := range children {
		if len(w.page) == w.limit {
			return nil
		}
		if err := w.add(c); err != nil {
			return err
		}
	}
	return nil
}

// wanted reports whether an entry can be, or hold, an object of the page.
func (w *walk) wanted(key string, e fs.DirEntry) bool {
	if e.IsDir() {
		return key != tempName+"/" &&
			(strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)) &&
			(key > w.after || strings.HasPrefix(w.after, key))
	}
	return e.Type().IsRegular() && key > w.after && strings.HasPrefix(key, w.prefix) && objstore.CheckKey(key) == nil
}

func (w *walk) add(c child) error {
	if c.entry.IsDir() {
		return w.folder(c.key)
	}
	info, err := c.entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	w.page = append(w.page, objstore.Info{Key: c.key, Size: info.Size(), Modified: info.ModTime()})
	return nil
}
