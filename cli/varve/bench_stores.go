package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// benchStore is what an agent of the bench is started on.
type benchStore struct {
	store, meta string
	folder      string // to be removed at the end; empty: none
	foreign     bool   // a bucket: what is written there stays
}

// openStore makes URLs of the word or URL in --store, with the price list.
func (b *benchFlags) openStore(w *world) (s benchStore, err error) {
	if s, err = b.namedStore(w); err != nil || b.prices == "" {
		return s, err
	}
	path, err := filepath.Abs(b.prices)
	if err != nil {
		return s, err
	}
	for _, u := range []*string{&s.store, &s.meta} {
		separator := "?"
		if strings.Contains(*u, "?") {
			separator = "&"
		}
		*u += separator + pricesParam + "=" + url.QueryEscape(path)
	}
	return s, nil
}

// namedStore makes URLs of the word or URL in --store.
func (b *benchFlags) namedStore(w *world) (s benchStore, err error) {
	if b.meta != "" && !strings.Contains(b.store, "://") {
		return s, usagef("--meta belongs to a URL in --store; %q has a metastore of its own", b.store)
	}
	seed := b.load.Seed
	switch b.store {
	case "sim", "sim-express":
		model, kept := map[string]string{"sim": "s3-standard", "sim-express": "s3-express"}[b.store], "mem"
		if b.hunts() { // which writes more than memory holds
			kept = "null"
		}
		s.store = fmt.Sprintf("sim+%s://?model=%s&seed=%d", kept, model, seed)
		s.meta = fmt.Sprintf("sim+mem://?model=dynamodb&seed=%d", seed)
	case "null":
		s.store, s.meta = "null://", "mem://"
	case "mem":
		s.store, s.meta = fmt.Sprintf("mem://?reserve=%d", b.reserve()), "mem://"
	case "disk":
		if s.folder, err = os.MkdirTemp("", "varve-bench-"); err != nil {
			return s, err
		}
		s.store, s.meta = fileURL("file", s.folder, devObjects), fileURL("bolt", s.folder, devFacts)
	case "minio", "s3":
		return b.realStore(w)
	default:
		if b.meta == "" {
			return s, usagef("--store: %q is none of %s; with a URL there comes --meta URL", b.store, strings.Join(benchStores, ", "))
		}
		s.store, s.meta = b.store, b.meta
		u, err := parseStoreURL(b.store, objectSchemes)
		if err != nil {
			return s, usagef("--store: %w", err)
		}
		s.foreign = !embedded(u.scheme)
	}
	return s, nil
}

// keeps reports whether what is written can be read back.
func (b *benchFlags) keeps() bool {
	return !b.owns() || b.store != "null" && !strings.Contains(b.store, "null://")
}

// reserve is how many bytes a store in memory takes from the system at once, so that no run pays for the first touch of a page:
// what will be written, once as the log and once more as packs, and a share for headers and snapshots.
func (b *benchFlags) reserve() int64 {
	bytes := b.load.Limit
	if expected := int64(b.load.Rate * (b.load.Warmup + b.load.Duration).Seconds() * float64(b.load.Size)); b.load.Rate > 0 && expected < bytes {
		bytes = expected
	}
	bytes = max(bytes, b.load.Backlog)
	return 2*bytes + bytes/10 + 64<<20
}

// realStore takes bucket and table from the environment, as "localstack/local.sh env" and Terraform give them.
func (b *benchFlags) realStore(w *world) (s benchStore, err error) {
	store, _ := w.env("VARVE_STORE")
	meta, _ := w.env("VARVE_META")
	if store == "" || meta == "" {
		return s, usagef("--store %s: the environment has no VARVE_STORE and VARVE_META; locally: make up; eval \"$(localstack/local.sh env)\"", b.store)
	}
	u, err := url.Parse(store)
	if err != nil || u.Scheme != "s3" && u.Scheme != "minio" {
		return s, usagef("--store %s: VARVE_STORE is not the URL of a bucket, like %s", b.store, objectSchemes[0].example)
	}
	if elsewhere := u.Query().Has("endpoint"); elsewhere != (b.store == "minio") {
		return s, usagef("--store %s: VARVE_STORE names %s; say --store %s", b.store, u.Redacted(), map[bool]string{true: "minio", false: "s3"}[elsewhere])
	}
	return benchStore{store: store, meta: meta, foreign: true}, nil
}

// remove takes away what lies on this machine, and says what stays elsewhere.
func (s benchStore) remove(w *world, cluster string) {
	if s.folder != "" {
		if err := os.RemoveAll(s.folder); err != nil {
			fmt.Fprintf(w.err, "warning: %v\n", err)
		}
	}
	if s.foreign {
		fmt.Fprintf(w.err, "what was written stays under %s in %s\n", filepath.ToSlash(cluster+"/"), s.store)
	}
}
