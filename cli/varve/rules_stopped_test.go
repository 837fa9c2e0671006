package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/bolt"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/disk"
)

const toldStores = "is told which stores to work on"

// stopped is flags that name the stores of a cluster whose only agent has stopped, and more.
func (l *live) stopped(more ...string) []string {
	data := filepath.Join(l.dir, "stopped")
	return append([]string{"--store", fileURL("file", data, devObjects), "--meta", fileURL("bolt", data, devFacts)}, more...)
}

// nextKey is the key of a bundle that the stopped agent would have written next: nothing names it.
func (l *live) nextKey() string {
	l.t.Helper()
	last := ""
	for line := range strings.Lines(l.ok("", "segment", "list", "--store", l.stopped()[1], "-o", "jsonl")) {
		var o struct{ Kind, Key string }
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			l.t.Fatal(err)
		}
		if o.Kind == "wal" {
			last = o.Key
		}
	}
	k, err := objstore.Parse(last)
	if err != nil {
		l.t.Fatal(err)
	}
	k.Seq++
	return k.Key()
}

// plantOrphan copies the last bundle to the next key.
func (l *live) plantOrphan() {
	l.t.Helper()
	s, err := disk.New(filepath.Join(l.dir, "stopped", devObjects))
	if err != nil {
		l.t.Fatal(err)
	}
	defer s.Close()
	k, _ := objstore.Parse(l.orphan)
	k.Seq--
	o, err := s.Get(context.Background(), k.Key(), objstore.Range{})
	if err == nil {
		err = s.Put(context.Background(), l.orphan, o.Body)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// plantItem puts an item into the table of the stopped cluster that no decoder takes.
func (l *live) plantItem() {
	l.t.Helper()
	s, err := bolt.Open(filepath.Join(l.dir, "stopped", devFacts))
	if err != nil {
		l.t.Fatal(err)
	}
	defer s.Close()
	op := metastore.Op{Kind: metastore.OpPut, Key: metastore.Key{PK: "varve/L", SK: "x"}, Set: metastore.Item{"x": metastore.N(1)}}
	if _, err := s.Write(context.Background(), op); err != nil {
		l.t.Fatal(err)
	}
}

// emptyTable is the URL of a table that has nothing before plantEmpty's next run.
func (l *live) emptyTable() string { return fileURL("bolt", l.dir, "empty.db") }

func (l *live) plantEmpty() { _ = os.Remove(filepath.Join(l.dir, "empty.db")) } // the first time there is none
