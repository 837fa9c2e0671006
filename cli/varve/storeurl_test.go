package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/objstore"
)

func TestParseStoreURL(t *testing.T) {
	for _, c := range []struct {
		raw     string
		schemes []storeScheme
		want    storeURL
	}{
		{"s3://b", objectSchemes, storeURL{scheme: "s3", host: "b"}},
		{"s3://b/x/y/?region=eu&endpoint=http://h:1&path_style=true", objectSchemes,
			storeURL{scheme: "s3", host: "b", path: "x/y", params: url.Values{"region": {"eu"}, "endpoint": {"http://h:1"}, "path_style": {"true"}}}},
		{"file:///var/lib/a%20b", objectSchemes, storeURL{scheme: "file", path: "/var/lib/a b"}},
		{"mem://", objectSchemes, storeURL{scheme: "mem"}},
		{"null://", objectSchemes, storeURL{scheme: "null"}},
		{"dynamodb://t?region=eu", factSchemes, storeURL{scheme: "dynamodb", host: "t", params: url.Values{"region": {"eu"}}}},
		{"bolt:///a/b.db", factSchemes, storeURL{scheme: "bolt", path: "/a/b.db"}},
		{"fault+s3://b?region=eu&delay=1s", objectSchemes,
			storeURL{scheme: "s3", host: "b", params: url.Values{"region": {"eu"}}, faults: url.Values{"delay": {"1s"}}}},
		{"minio://b/x/?endpoint=http://h:1&path_style=true", objectSchemes,
			storeURL{scheme: "minio", host: "b", path: "x", params: url.Values{"endpoint": {"http://h:1"}, "path_style": {"true"}}}},
		{"sim+mem://?model=s3-express&seed=7&reserve=1", objectSchemes,
			storeURL{scheme: "mem", params: url.Values{"reserve": {"1"}}, sim: url.Values{"model": {"s3-express"}, "seed": {"7"}}}},
		{"fault+sim+s3://b?model=s3-standard&seed=7&delay=1s", objectSchemes,
			storeURL{scheme: "s3", host: "b", faults: url.Values{"delay": {"1s"}, "seed": {"7"}}, sim: url.Values{"model": {"s3-standard"}, "seed": {"7"}}}},
		{"sim+dynamodb://t", factSchemes, storeURL{scheme: "dynamodb", host: "t", sim: url.Values{}}},
		{"fault+mem://", factSchemes, storeURL{scheme: "mem", faults: url.Values{}}},
	} {
		got, err := parseStoreURL(c.raw, c.schemes)
		if err != nil || got.scheme != c.want.scheme || got.host != c.want.host || got.path != c.want.path ||
			got.params.Encode() != c.want.params.Encode() || got.faults.Encode() != c.want.faults.Encode() || (got.faults == nil) != (c.want.faults == nil) ||
			got.sim.Encode() != c.want.sim.Encode() || (got.sim == nil) != (c.want.sim == nil) {
			t.Errorf("%s: %+v, %v; want %+v", c.raw, got, err, c.want)
		}
	}
}

func TestBadStoreURLsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"", "no URL; like s3://"},
		{"b/prefix", `the scheme "" is none of s3, minio, file, mem, null; like s3://bucket`},
		{"s4://b", `the scheme "s4" is none of`},
		{"fault+fault+s3://b", "is none of"},
		{"sim+fault+s3://b", "is none of"},
		{"sim+s3://b?modle=x", `takes no parameter "modle"; did you mean model?`},
		{"s3://b?model=x", `takes no parameter "model"`},
		{"minio://", "no bucket; like minio://"},
		{"minio://b?regoin=eu", `minio:// takes no parameter "regoin"; did you mean region?`},
		{"s3://", "no bucket"},
		{"s3:///prefix", "no bucket"},
		{"s3:b", `two slashes are missing after "s3:"`},
		{"s3://b?regoin=eu", `takes no parameter "regoin"; did you mean region?`},
		{"s3://b?region=a&region=b", "region is given twice"},
		{"s3://b?delay=1s", `takes no parameter "delay"`},
		{"s3://b#x", "#"},
		{"s3://b?%zz", "parameters"},
		{"s3://b\x7f", "not a URL"},
		{"file://relative/dir", `"relative" stands where a host would: the path of a folder begins with a third slash; like file:///`},
		{"file://", "no folder"},
		{"file:///", "no folder"},
		{"file:///d?x=1", `takes no parameter "x"`},
		{"mem://x", "nothing follows mem://"},
		{"mem:///x", "there is no path in mem://"},
	} {
		got, err := parseStoreURL(c.raw, objectSchemes)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %+v, %v; want %q", c.raw, got, err, c.want)
		}
	}
	for _, raw := range []string{"s3://key:geheim@b", "s3://key:geheim@b\x7f", "s3://key:geheim@%zz"} {
		if _, err := parseStoreURL(raw, objectSchemes); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("credentials in a URL: %v", err)
		}
	}
}

// quiet drops what is logged.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestOpenStores(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		store, meta string
		exclusive   bool
	}{
		{"mem://", "mem://", true},
		{"null://", "mem://", true},
		{fileURL("file", dir, "a b/objects"), fileURL("bolt", dir, "a b/facts?.db"), true},
		{"fault+mem://?put.delay=1us&seed=3", "fault+mem://?delay=1us", true},
		{"sim+mem://?model=s3-express&seed=3", "fault+sim+mem://?model=dynamodb&delay=1us&seed=3", true},
	} {
		o, err := openStores(context.Background(), c.store, c.meta, "", quiet())
		if err != nil {
			t.Errorf("%s, %s: %v", c.store, c.meta, err)
			continue
		}
		if o.exclusive != c.exclusive {
			t.Errorf("%s: exclusive %v", c.meta, o.exclusive)
		}
		tryStores(t, o, c.store != "null://")
		o.close(quiet())
	}
	if _, err := os.Stat(filepath.Join(dir, "a b", "facts?.db")); err != nil {
		t.Errorf("the table lies elsewhere: %v", err)
	}
}

// tryStores writes to both and reads back.
func tryStores(t *testing.T, o *openedStores, keeps bool) {
	t.Helper()
	ctx := context.Background()
	if err := o.agent.Objects.Put(ctx, "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	got, err := o.agent.Objects.Get(ctx, "k", objstore.Range{})
	if keeps != (err == nil) || keeps && string(got.Body) != "v" {
		t.Errorf("object: %q, %v", got.Body, err)
	}
	key := metastore.Key{PK: "p", SK: "s"}
	_, err = o.agent.Facts.Write(ctx, metastore.Op{Kind: metastore.OpPut, Key: key, Set: metastore.Item{"a": metastore.N(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if it, err := o.agent.Facts.Get(ctx, key, metastore.Consistent); err != nil || !it["a"].Equal(metastore.N(1)) {
		t.Errorf("item: %v, %v", it, err)
	}
}

func TestOpenStoresRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		store, meta, want string
		code              int
	}{
		{"s4://b", "mem://", "--store: ", exitUsage},
		{"mem://", "", "--meta: no URL", exitUsage},
		{"fault+mem://?dealy=1s", "mem://", "--store: ", exitUsage},
		{"mem://", "fault+mem://?dealy=1s", "--meta: ", exitUsage},
		{fileURL("file", file, "x"), "mem://", "--store: ", exitFailed},
		{"mem://", fileURL("bolt", file, "x"), "--meta: ", exitFailed},
		{"s3://b?region=x&path_style=perhaps", "mem://", `"perhaps" is not true or false`, exitUsage},
		{"sim+mem://?model=s5", "mem://", `--store: model "s5" is none of s3-standard, s3-express`, exitUsage},
		{"mem://", "sim+mem://?model=s3-standard", `--meta: model "s3-standard" is none of dynamodb`, exitUsage},
		{"sim+mem://?seed=-1", "mem://", `parameter seed: "-1"`, exitUsage},
		{"minio://bucket?region=x&path_style=perhaps", "mem://", `"perhaps" is not true or false`, exitUsage},
		{"minio://bucket?region=x&checksum=md5", "mem://", "none of auto, always, never", exitUsage},
		{"minio://bucket?endpoint=127.0.0.1:9000", "mem://", "is not of the form http(s)://host:port", exitFailed},
		{"s3://b?region=x&checksum=md5", "mem://", "none of auto, always, never", exitUsage},
	} {
		_, err := openStores(context.Background(), c.store, c.meta, "", quiet())
		if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != c.code {
			t.Errorf("%s, %s: %v (exit %d); want %q, exit %d", c.store, c.meta, err, exitCode(err), c.want, c.code)
		}
	}
	// The same file twice is refused: it is held by a lock.
	dir := t.TempDir()
	first, err := openStores(context.Background(), "mem://", fileURL("bolt", dir, "f.db"), "", quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer first.close(quiet())
	if _, err := openStores(context.Background(), "mem://", fileURL("bolt", dir, "f.db"), "", quiet()); !errors.Is(err, metastore.ErrRefused) {
		t.Errorf("opened twice: %v", err)
	}
}
