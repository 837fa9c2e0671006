package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/bolt"
	"github.com/varvelog/varve/metastore/dynamo"
	factmem "github.com/varvelog/varve/metastore/mem"
	factmeter "github.com/varvelog/varve/metastore/meter"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/disk"
	"github.com/varvelog/varve/objstore/hedge"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/meter"
	"github.com/varvelog/varve/objstore/minio"
	"github.com/varvelog/varve/objstore/null"
	"github.com/varvelog/varve/objstore/s3"
)

// openedStores is the two stores of an agent and what belongs to them.
type openedStores struct {
	agent     agent.Stores
	zone      string // of who asks, for its counters
	prefix    string // of object keys
	exclusive bool   // no other process can use the table while this one does
	foreign   bool   // one of them is somebody else's program: to be probed
	unbounded bool   // objects lie in this process's memory, which no limit of the agent's bounds
	closers   []func() error

	// What is below the counters, and how it is counted.
	objects      objstore.Store
	objectPrices meter.Prices
	slow         bool // reads of objects are hedged
	facts        metastore.Store
	factPrices   factmeter.Prices
}

func (o *openedStores) close(log *slog.Logger) {
	for _, c := range o.closers {
		if err := c(); err != nil {
			log.Warn("closing a store", "err", err)
		}
	}
}

// openStores opens what two URLs name, metered, and looks whether bucket and table are there.
func openStores(ctx context.Context, store, meta, zone string, log *slog.Logger) (*openedStores, error) {
	o := &openedStores{zone: zone}
	if err := errors.Join(o.openObjects(ctx, store, log), o.openFacts(ctx, meta, log)); err != nil {
		o.close(log)
		return nil, err
	}
	return o, nil
}

// openObjects is the one place that knows which object stores there are.
func (o *openedStores) openObjects(ctx context.Context, raw string, log *slog.Logger) error {
	u, err := parseStoreURL(raw, objectSchemes)
	if err != nil {
		return usagef("--store: %w", err)
	}
	o.foreign = o.foreign || !embedded(u.scheme)
	var s objstore.Store
	switch u.scheme {
	case "s3", "minio":
		s, err = o.openBucket(ctx, u)
	case "file":
		var d *disk.Store
		if d, err = disk.New(u.path); err == nil {
			s, o.closers = d, append(o.closers, d.Close)
		}
	case "mem":
		o.unbounded = true
		s, err = openMemory(u)
	case "null":
		s = null.New()
	}
	if err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	if s, err = wrapObjects(s, u, log); err != nil {
		return usagef("--store: %w", err)
	}
	prices, err := objectPrices(u)
	if err != nil {
		return usagef("--store: %w", err)
	}
	o.objects, o.objectPrices, o.slow = s, prices, o.foreign || u.sim != nil // what is here answers at once, or is busy
	o.meterObjects(o.zone)
	return nil
}

// meterObjects makes the way of one agent to the bucket.
func (o *openedStores) meterObjects(zone string) {
	m := meter.New(o.objects, o.objectPrices).In(zone)
	o.agent.Objects, o.agent.Collectors = m, append(o.agent.Collectors, m)
	if o.slow {
		h := hedge.New(m)
		o.agent.Objects, o.agent.Collectors = h, append(o.agent.Collectors, h)
		o.closers = append([]func() error{func() error { h.Wait(); return nil }}, o.closers...)
	}
}

// another makes the ways of one more agent to the same stores, with counters of its own.
func (o *openedStores) another(zone string) agent.Stores {
	o.agent = agent.Stores{}
	o.meterObjects(zone)
	o.meterFacts()
	return o.agent
}

// embedded reports whether stores of a scheme are code of this binary alone.
func embedded(scheme string) bool {
	return slices.Contains([]string{"file", "bolt", "mem", "null"}, scheme)
}

// openMemory reads the parameter reserve: bytes to take from the system at once, which is for benchmarks.
func openMemory(u storeURL) (objstore.Store, error) {
	size := u.params.Get("reserve")
	if size == "" {
		return mem.New(), nil
	}
	n, err := parseBytes(size)
	if err != nil {
		return nil, usagef("parameter reserve: %w", err)
	}
	return mem.NewReserved(int(n)), nil
}

// bucketStore is what both S3 drivers are.
type bucketStore interface {
	objstore.Store
	Check(ctx context.Context) error
	Close() error
}

func (o *openedStores) openBucket(ctx context.Context, u storeURL) (objstore.Store, error) {
	path, err := u.flag("path_style")
	if err != nil {
		return nil, err
	}
	checksum, err := checksumOf(u.params.Get("checksum"))
	if err != nil {
		return nil, err
	}
	cfg := s3.Config{
		Bucket: u.host, Region: u.params.Get("region"), Endpoint: u.params.Get("endpoint"), PathStyle: path, Checksum: checksum,
	}
	var s bucketStore
	if u.scheme == "minio" {
		s, err = minio.New(ctx, minio.Config{
			Bucket: cfg.Bucket, Region: cfg.Region, Endpoint: cfg.Endpoint, PathStyle: path, Checksum: minio.Checksum(checksum),
		})
	} else {
		s, err = s3.New(ctx, cfg)
	}
	if err != nil {
		return nil, err
	}
	o.prefix, o.closers = u.path, append(o.closers, s.Close)
	return s, s.Check(ctx)
}

// checksumOf reads the parameter checksum.
func checksumOf(s string) (s3.Checksum, error) {
	switch s {
	case "", "auto":
		return s3.ChecksumAuto, nil
	case "always":
		return s3.ChecksumAlways, nil
	case "never":
		return s3.ChecksumNever, nil
	}
	return 0, usagef("parameter checksum: %q is none of auto, always, never", s)
}

// openFacts is the one place that knows which metastores there are.
func (o *openedStores) openFacts(ctx context.Context, raw string, log *slog.Logger) error {
	u, err := parseStoreURL(raw, factSchemes)
	if err != nil {
		return usagef("--meta: %w", err)
	}
	o.foreign = o.foreign || !embedded(u.scheme)
	var s metastore.Store
	switch u.scheme {
	case "dynamodb":
		s, err = o.openTable(ctx, u)
	case "bolt":
		o.exclusive = true
		s, err = o.openFile(u.path)
	case "mem":
		o.exclusive = true
		s = factmem.New()
	}
	if err != nil {
		return fmt.Errorf("--meta: %w", err)
	}
	if s, err = wrapFacts(s, u, log); err != nil {
		return usagef("--meta: %w", err)
	}
	prices, err := factPrices(u)
	if err != nil {
		return usagef("--meta: %w", err)
	}
	o.facts, o.factPrices = s, prices
	o.meterFacts()
	return nil
}

// meterFacts makes the way of one agent to the table.
func (o *openedStores) meterFacts() {
	m := factmeter.New(o.facts, o.factPrices)
	o.agent.Facts, o.agent.Collectors = m, append(o.agent.Collectors, m)
}

func (o *openedStores) openFile(path string) (metastore.Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	b, err := bolt.Open(path)
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, b.Close)
	return b, nil
}

// fileURL is the URL of a file or folder in a folder. Characters that mean something in a URL are escaped.
func fileURL(scheme, dir, name string) string {
	return (&url.URL{Scheme: scheme, Path: filepath.ToSlash(filepath.Join(dir, name))}).String()
}

func (o *openedStores) openTable(ctx context.Context, u storeURL) (metastore.Store, error) {
	d, err := dynamo.New(ctx, dynamo.Config{Table: u.host, Region: u.params.Get("region"), Endpoint: u.params.Get("endpoint")})
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, d.Close)
	return d, d.Check(ctx)
}
