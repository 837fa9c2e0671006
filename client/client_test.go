package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts a server with topic "t" of 3 partitions and a client of it.
func open(t *testing.T) *client.Client {
	t.Helper()
	server, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "t"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Open(server.ListenAddrs()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); server.Close() })
	return c
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// write writes n records to each of the partitions, with timestamps of 1,000 ms times their offset.
func write(t *testing.T, c *client.Client, n int, partitions ...int32) {
	t.Helper()
	w, err := c.NewWriter(client.WriteConfig{Codec: "lz4"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range n {
		for _, p := range partitions {
			r := &kgo.Record{Topic: "t", Partition: p, Value: fmt.Appendf(nil, "%d/%d", p, i), Timestamp: time.UnixMilli(1000 * int64(i))}
			w.Write(deadline(t), r, func(r *kgo.Record, err error) {
				if err != nil || r.Partition != p || r.Offset != int64(i) {
					t.Errorf("wrote %d/%d to %d/%d: %v", p, i, r.Partition, r.Offset, err)
				}
			})
		}
	}
	if err := w.Flush(deadline(t)); err != nil {
		t.Fatal(err)
	}
}

// read reads everything that cfg gives, which must end, by partition.
func read(t *testing.T, c *client.Client, cfg client.ReadConfig) map[int32][]int64 {
	t.Helper()
	r, err := c.NewReader(deadline(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[int32][]int64{}
	for {
		records, err := r.Next(deadline(t))
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			if want := fmt.Sprintf("%d/%d", rec.Partition, rec.Offset); string(rec.Value) != want {
				t.Errorf("read %q at %s", rec.Value, want)
			}
			got[rec.Partition] = append(got[rec.Partition], rec.Offset)
		}
	}
}

func TestReadBetweenPositions(t *testing.T) {
	c := open(t)
	write(t, c, 10, 0, 2)
	to := func(w client.When) *client.When { return &w }
	all := []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for _, x := range []struct {
		name string
		cfg  client.ReadConfig
		want []int64 // of partitions 0 and 2
	}{
		{"all", client.ReadConfig{From: client.Earliest(), AtEnd: true}, all},
		{"nothing new", client.ReadConfig{AtEnd: true}, nil},
		{"last 3", client.ReadConfig{From: client.Last(3), AtEnd: true}, all[7:]},
		{"offsets", client.ReadConfig{From: client.AtOffset(2), To: to(client.AtOffset(5))}, all[2:5]},
		{"to the end as it is", client.ReadConfig{From: client.AtOffset(8), To: to(client.Latest())}, all[8:]},
		{"times", client.ReadConfig{From: client.At(time.UnixMilli(3500)), To: to(client.At(time.UnixMilli(6000)))}, all[4:6]},
		{"committed", client.ReadConfig{From: client.Earliest(), AtEnd: true, Committed: true}, all},
		{"beyond", client.ReadConfig{From: client.AtOffset(99), AtEnd: true}, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.cfg.Topics = []string{"t"}
			got := read(t, c, x.cfg)
			for _, p := range []int32{0, 2} {
				if fmt.Sprint(got[p]) != fmt.Sprint(x.want) {
					t.Errorf("partition %d: %v, want %v", p, got[p], x.want)
				}
			}
			if len(got[1]) > 0 {
				t.Errorf("partition 1 has %v", got[1])
			}
		})
	}
	got := read(t, c, client.ReadConfig{Topics: []string{"t"}, Partitions: []int32{2}, From: client.Earliest(), AtEnd: true})
	if len(got) != 1 || len(got[2]) != 10 {
		t.Errorf("partition 2 alone: %v", got)
	}
}

func TestReadFollows(t *testing.T) {
	c := open(t)
	r, err := c.NewReader(deadline(t), client.ReadConfig{Topics: []string{"t"}, From: client.Earliest()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(t, c, 5, 1)
	n := 0
	for n < 5 {
		records, err := r.Next(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		n += len(records)
	}
	ctx, cancel := context.WithCancel(deadline(t))
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

// TestReadEndsBehindControlRecord: the last offset of a partition may be a commit marker, which no program sees.
func TestReadEndsBehindControlRecord(t *testing.T) {
	c := open(t)
	k, err := kgo.NewClient(append(c.Options(), kgo.TransactionalID("x"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	err = k.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: []byte("?/0")}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.EndTransaction(deadline(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	r, err := c.NewReader(deadline(t), client.ReadConfig{Topics: []string{"t"}, From: client.Earliest(), AtEnd: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for err == nil {
		var records []*kgo.Record
		records, err = r.Next(deadline(t))
		n += len(records)
	}
	if !errors.Is(err, io.EOF) || n != 1 {
		t.Errorf("%d records, then %v", n, err)
	}
}

func TestWriteByKeyAndByNumber(t *testing.T) {
	c := open(t)
	for _, acks := range []client.Acks{client.AcksAll, client.AcksLeader, client.AcksNone} {
		w, err := c.NewWriter(client.WriteConfig{Acks: acks})
		if err != nil {
			t.Fatal(err)
		}
		var parts []int32
		for _, p := range []int32{client.ByKey, client.ByKey, 1} {
			w.Write(deadline(t), &kgo.Record{Topic: "t", Partition: p, Key: []byte("k")}, func(r *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
				parts = append(parts, r.Partition)
			})
			if err := w.Flush(deadline(t)); err != nil {
				t.Fatal(err)
			}
		}
		if parts[0] != parts[1] || parts[2] != 1 {
			t.Errorf("acks %d: partitions %v", acks, parts)
		}
		w.Write(deadline(t), &kgo.Record{Topic: "t", Partition: 7}, func(r *kgo.Record, err error) {
			if err == nil {
				t.Errorf("a partition that is not there took a record")
			}
		})
		if err := w.Flush(deadline(t)); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	if _, err := c.NewWriter(client.WriteConfig{Codec: "brotli"}); err == nil {
		t.Error("an unknown codec is taken")
	}
}

func TestTopics(t *testing.T) {
	c, ctx := open(t), deadline(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(c.Ping(ctx))
	check(c.CreateTopic(ctx, client.NewTopic{Name: "dry", Partitions: 1, ValidateOnly: true}))
	check(c.CreateTopic(ctx, client.NewTopic{Name: "u", Partitions: 2, Configs: map[string]string{"retention.ms": "1000"}}))
	if err := c.CreateTopic(ctx, client.NewTopic{Name: "u", Partitions: 2}); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("again: %v", err)
	}
	check(c.AddPartitions(ctx, "u", 4, true))
	check(c.AddPartitions(ctx, "u", 5, false))
	check(c.AlterTopic(ctx, "u", map[string]string{"cleanup.policy": "compact"}, []string{"retention.ms"}, false))
	topics, err := c.Topics(ctx)
	check(err)
	if len(topics) != 2 || topics[1].Name != "u" || len(topics[1].Partitions) != 5 || len(topics[1].ID) != 36 {
		t.Errorf("topics: %+v", topics)
	}
	settings, err := c.TopicSettings(ctx, "u")
	check(err)
	for _, s := range settings {
		if s.Name == "cleanup.policy" && (s.Value != "compact" || s.Source != "topic") || s.Name == "retention.ms" && s.Source == "topic" {
			t.Errorf("setting %+v", s)
		}
	}
	check(c.DeleteTopic(ctx, "u"))
	for what, err := range map[string]error{
		"delete": c.DeleteTopic(ctx, "nope"), "alter": c.AlterTopic(ctx, "nope", map[string]string{"retention.ms": "1"}, nil, false),
		"add": c.AddPartitions(ctx, "nope", 9, false),
	} {
		if !errors.Is(err, client.ErrUnknownTopic) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.Topic(ctx, "nope"); !errors.Is(err, client.ErrUnknownTopic) {
		t.Errorf("describe: %v", err)
	}
	if _, err := c.NewReader(ctx, client.ReadConfig{Topics: []string{"nope"}}); !errors.Is(err, client.ErrUnknownTopic) {
		t.Errorf("read: %v", err)
	}
}

func TestClusterAndItsAgents(t *testing.T) {
	c, ctx := open(t), deadline(t)
	cluster, err := c.Cluster(ctx)
	if err != nil || len(cluster.Agents) != 1 || cluster.ID == "" || cluster.Agents[0].Port == 0 {
		t.Fatalf("%+v, %v", cluster, err)
	}
	settings, err := c.AgentSettings(ctx, cluster.Agents[0].ID)
	if err != nil || len(settings) == 0 {
		t.Errorf("%d settings, %v", len(settings), err)
	}
	apis, err := c.APIs(ctx, cluster.Agents[0].ID)
	if err != nil || len(apis) < 20 || apis[0].Name != "Produce" || apis[0].Max < 9 {
		t.Errorf("apis %+v, %v", apis, err)
	}
}

func TestOpenAndPingRefuse(t *testing.T) {
	for _, a := range [][]string{nil, {"nohost"}, {":9092"}, {"a:1", "b"}} {
		if _, err := client.Open(a...); !errors.Is(err, client.ErrAddress) {
			t.Errorf("Open(%v): %v", a, err)
		}
	}
	c, err := client.Open("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(deadline(t)); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("ping: %v", err)
	}
}
