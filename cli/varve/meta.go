package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/varvelog/varve/cli/meta"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

func metaCommand() *command {
	return &command{
		name:  "meta",
		short: "check and mend the table and the bucket as a whole; no agent is needed",
		long: `These commands work on the stores alone, beside agents that run or without any. check and get read only; repair and rebuild write
to the table, repair with what it read as the condition of each write.`,
		sub:      []*command{metaCheckCommand(), metaRepairCommand(), metaRebuildCommand(), metaGetCommand()},
		examples: []string{exampleCheck, "varve meta get varve/C CFG --meta bolt:///var/lib/varve/facts.db"},
	}
}

// exampleStores are what examples work on.
const (
	exampleStores = " --store file:///var/lib/varve/objects --meta bolt:///var/lib/varve/facts.db"
	exampleCheck  = "varve meta check --deep" + exampleStores

	exampleAWS        = " --store 's3://varve/prod?region=eu-central-1' --meta 'dynamodb://varve?region=eu-central-1'"
	exampleCheckAWS   = "varve meta check" + exampleAWS + " --output jsonl"
	exampleRepairSlot = "varve meta repair slot-leader 7" + exampleAWS
	exampleRepairPack = "varve meta repair pack-counter 0b9c4f0e-7a51-4d7e-9a53-0e4f4a3f6c11 --yes" + exampleAWS
)

// bothStores is how a command finds a cluster's bucket and table.
type bothStores struct {
	bucket
	meta string
	rate int
}

func (b *bothStores) options() []*option {
	b.rate = 200
	return append(b.bucket.options(),
		opt(&b.meta, parseText, "meta", "URL", "the metastore").withEnv().withDefault("that of \"varve dev\" in this folder, which must not run"),
		opt(&b.rate, parseInt, "rate", "N", "at most N requests a second, so that agents do not suffer; 0: no limit"))
}

// withTool opens both stores for the time of do. cfg holds what is not the stores.
func (b *bothStores) withTool(ctx context.Context, w *world, cfg meta.Config, do func(context.Context, *meta.Tool) error) error {
	if b.meta == "" {
		dir, err := filepath.Abs(defaultStore)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, devFacts)); err != nil {
			return usagef("--meta is missing, and there is no \"varve dev\" in this folder; like %s", factSchemes[0].example)
		}
		b.meta = fileURL("bolt", dir, devFacts)
	}
	cluster, err := records.ParseCluster(b.cluster)
	if err != nil {
		return usagef("--cluster: %w", err)
	}
	return b.with(ctx, w, func(ctx context.Context) error {
		log := slog.New(slog.DiscardHandler)
		var o openedStores
		defer o.close(log)
		if err := o.openFacts(ctx, b.meta, log); err != nil {
			return err
		}
		cfg.Objects, cfg.Facts, cfg.Keys, cfg.Cluster, cfg.Rate = b.objects, o.agent.Facts, b.keys, cluster, b.rate
		t := meta.New(cfg)
		stop := showProgress(w, false, t.Progress)
		err := do(objstore.WithPurpose(ctx, objstore.PurposeOther), t)
		stop()
		return err
	})
}

// flags are what names the same stores on another command line, as a shell reads it.
func (b *bothStores) flags() string {
	var s strings.Builder
	fmt.Fprintf(&s, " --store %s --meta %s", shellQuote(b.store), shellQuote(b.meta))
	if b.cluster != "varve" {
		fmt.Fprintf(&s, " --cluster %s", shellQuote(b.cluster))
	}
	return s.String()
}

// shellQuote writes a word as a POSIX shell reads it back.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:,=@%+", r))
	}
	if s != "" && strings.IndexFunc(s, plain) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
