package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// Bounds of commands that read many objects.
const (
	footerReaders = 16      // at once
	maxObject     = 1 << 30 // bytes of an object that is read whole
)

// devStore is the URL of the objects that "varve dev" keeps in a folder.
func devStore(data string) (string, error) {
	dir, err := filepath.Abs(data)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, devObjects)); err != nil {
		return "", usagef("--store is missing, and there is no \"varve dev\" in this folder; like %s", objectSchemes[0].example)
	}
	return fileURL("file", dir, devObjects), nil
}

// list calls each for the objects whose keys start with prefix, in the order of keys, until it returns false.
func (b *bucket) list(ctx context.Context, prefix string, each func(objstore.Info) bool) error {
	after := ""
	for {
		page, err := b.objects.List(ctx, prefix, after, objstore.MaxList)
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, info := range page {
			if !each(info) {
				return nil
			}
		}
		if len(page) < objstore.MaxList {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

// bundles lists the objects with records: WAL bundles, packs and segments; and the snapshots if they are wanted; at most limit of them.
// cut tells that there are more.
func (b *bucket) bundles(ctx context.Context, snapshots bool, limit int) (found []objstore.Info, cut bool, err error) {
	kinds := []string{objstore.KindWAL, objstore.KindPack, objstore.KindSegment}
	if snapshots {
		kinds = append(kinds, objstore.KindSnapshot)
	}
	for _, kind := range kinds {
		err = b.list(ctx, b.keys.Root()+kind+"/", func(info objstore.Info) bool {
			if _, err := b.keys.Parse(info.Key); err != nil {
				return true // not one of ours
			}
			cut = len(found) == limit
			if !cut {
				found = append(found, info)
			}
			return !cut
		})
		if err != nil || cut {
			break
		}
	}
	return found, cut, err
}

// footer reads the footer of an object, with one request if it is short.
func (b *bucket) footer(ctx context.Context, key string) (*bundle.Footer, bundle.Kind, error) {
	tail, err := b.objects.Get(ctx, key, objstore.Suffix(bundle.TailLen))
	if err != nil {
		return nil, 0, fmt.Errorf("read the end of %s: %w", key, err)
	}
	f, kind, err := bundle.ParseTail(tail.Body, tail.Size)
	if errors.Is(err, bundle.ErrShort) {
		pos, _, _, lerr := bundle.Locate(tail.Body, tail.Size)
		if lerr != nil {
			return nil, 0, lerr
		}
		if tail, err = b.objects.Get(ctx, key, objstore.From(pos)); err != nil {
			return nil, 0, fmt.Errorf("read the footer of %s: %w", key, err)
		}
		f, kind, err = bundle.ParseTail(tail.Body, tail.Size)
	}
	return f, kind, err
}

// whole reads an object that is not too large.
func (b *bucket) whole(ctx context.Context, key string) ([]byte, error) {
	end, err := b.objects.Get(ctx, key, objstore.Suffix(1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if end.Size > maxObject {
		return nil, fmt.Errorf("read %s: %d bytes are more than this command takes", key, end.Size)
	}
	o, err := b.objects.Get(ctx, key, objstore.Range{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return o.Body, nil
}

// eachObject calls do for every object, several at once. do gets the index, so that results keep their order.
func eachObject(objects []objstore.Info, do func(i int, key string)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(footerReaders, len(objects)) {
		wg.Go(func() {
			for i := range next {
				do(i, objects[i].Key)
			}
		})
	}
	for i := range objects {
		next <- i
	}
	close(next)
	wg.Wait()
}
