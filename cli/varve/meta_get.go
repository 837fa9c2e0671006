package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/varvelog/varve/metastore"
)

// metaGet is the flags of "varve meta get".
type metaGet struct{ meta, format string }

func metaGetCommand() *command {
	g := &metaGet{}
	return &command{
		name: "get", args: "PK [SK]", min: 1, max: 2,
		short: "print one item of the table, or all of a partition key",
		long:  "Keys are those of metastore/records/RECORDS.md. Reads are consistent.",
		options: []*option{
			opt(&g.meta, parseText, "meta", "URL", "the metastore").withEnv().withDefault(""),
			outputOption(&g.format),
		},
		examples: []string{
			"varve meta get varve/C CFG --meta bolt:///var/lib/varve/facts.db",
			"varve meta get varve/M --meta bolt:///var/lib/varve/facts.db --output json",
		},
		run: g.run,
	}
}

func (g *metaGet) run(ctx context.Context, w *world, args []string) error {
	log := slog.New(slog.DiscardHandler)
	var o openedStores
	defer o.close(log)
	if err := o.openFacts(ctx, g.meta, log); err != nil {
		return err
	}
	l := listing{name: "attributes", columns: []column{{"SK", "sk"}, {"ATTRIBUTE", "attribute"}, {"TYPE", "type"}, {"VALUE", "value"}}}
	add := func(sk string, it metastore.Item) {
		for _, name := range slices.Sorted(maps.Keys(it)) {
			kind, value := attribute(it[name])
			l.rows = append(l.rows, []any{sk, name, kind, value})
		}
	}
	if err := g.read(ctx, o.agent.Facts, args, add); err != nil {
		return err
	}
	return document{listings: []listing{l}}.print(w.out, g.format)
}

func (g *metaGet) read(ctx context.Context, facts metastore.Store, args []string, add func(string, metastore.Item)) error {
	if len(args) == 2 {
		it, err := facts.Get(ctx, metastore.Key{PK: args[0], SK: args[1]}, metastore.Consistent)
		if err == nil {
			add(args[1], it)
		}
		return err
	}
	n := 0
	for q := (metastore.Query{PK: args[0], Consistency: metastore.Consistent}); ; {
		page, err := facts.Query(ctx, q)
		if err != nil {
			return err
		}
		for _, row := range page.Rows {
			add(row.SK, row.Item)
			n++
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if n == 0 {
		return fmt.Errorf("no item has the partition key %q", args[0])
	}
	return nil
}

// attribute is a value for people: bytes as hex.
func attribute(v metastore.Value) (kind string, value any) {
	if s, ok := v.Str(); ok {
		return "S", s
	}
	if n, ok := v.Num(); ok {
		return "N", n
	}
	b, _ := v.Bytes()
	return "B", hex.EncodeToString(b)
}
