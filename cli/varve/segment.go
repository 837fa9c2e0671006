package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/varvelog/varve/objstore"
)

// defaultStore is where "varve dev" keeps its objects, seen from the folder it was started in.
const defaultStore = "./.varve"

func segmentCommand() *command {
	return &command{
		name:  "segment",
		short: "look into the objects in the bucket, and have them rewritten",
		long:  "Objects are named by their keys, as \"varve segment list\" prints them. There are WAL bundles, packs, segments and snapshots.\nOnly \"varve segment compact\" needs an agent.",
		sub: []*command{
			segmentListCommand(), segmentInspectCommand(), segmentVerifyCommand(), segmentCatCommand(), segmentGCCommand(), segmentCompactCommand(),
		},
		examples: []string{"varve segment list orders", "varve segment verify orders --deep"},
	}
}

// bucket is how a command finds the objects of a cluster.
type bucket struct {
	store, cluster string
	keys           objstore.Keys
	objects        objstore.Store
}

func (b *bucket) options() []*option {
	b.cluster = "varve"
	return []*option{
		opt(&b.store, parseText, "store", "URL", "the object store").withEnv().withDefault("that of \"varve dev\" in this folder"),
		opt(&b.cluster, parseText, "cluster", "NAME", "the cluster: what keys begin with").withEnv(),
	}
}

// with opens the bucket for the time of do.
func (b *bucket) with(ctx context.Context, w *world, do func(context.Context) error) error {
	if b.store == "" {
		var err error
		if b.store, err = devStore(defaultStore); err != nil {
			return err
		}
	}
	if u, err := parseStoreURL(b.store, objectSchemes); err == nil && u.scheme == "file" {
		if _, err := os.Stat(u.path); err != nil {
			return fmt.Errorf("--store: %w", err) // the driver would make the folder
		}
	}
	log := slog.New(slog.DiscardHandler)
	var o openedStores
	defer o.close(log)
	if err := o.openObjects(ctx, b.store, log); err != nil {
		return err
	}
	b.objects, b.keys = o.agent.Objects, objstore.Keys{Prefix: o.prefix, Cluster: b.cluster}
	if err := b.keys.Validate(); err != nil {
		return usagef("--cluster: %w", err)
	}
	return do(objstore.WithPurpose(ctx, objstore.PurposeOther))
}
