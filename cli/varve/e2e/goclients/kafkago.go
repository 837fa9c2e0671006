package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaGoLibrary is segmentio's kafka-go: Writer and Reader for records, Client for admin.
type kafkaGoLibrary struct{}

func bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// kafkaGoClient asks for metadata anew: the transport that all clients share by default does not see for 6 s that a
// topic was made.
func kafkaGoClient(addr string) (*kafka.Client, func()) {
	t := &kafka.Transport{}
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: t}, t.CloseIdleConnections
}

func (kafkaGoLibrary) create(addr, topic string, partitions int) error {
	ctx, cancel := bounded()
	defer cancel()
	client, end := kafkaGoClient(addr)
	defer end()
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}}})
	if err != nil {
		return err
	}
	return res.Errors[topic]
}

func (kafkaGoLibrary) describe(addr, topic string) (int, error) {
	ctx, cancel := bounded()
	defer cancel()
	client, end := kafkaGoClient(addr)
	defer end()
	res, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	if len(res.Topics) != 1 {
		return 0, fmt.Errorf("%d topics in the answer", len(res.Topics))
	}
	return len(res.Topics[0].Partitions), res.Topics[0].Error
}

func (kafkaGoLibrary) config(addr, topic, name string) (string, error) {
	ctx, cancel := bounded()
	defer cancel()
	client, end := kafkaGoClient(addr)
	defer end()
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name}}}})
	if err != nil {
		return "", err
	}
	for _, r := range res.Resources {
		for _, e := range r.ConfigEntries {
			if e.ConfigName == name {
				return e.ConfigValue, r.Error
			}
		}
	}
	return "", fmt.Errorf("no config %s", name)
}

func (kafkaGoLibrary) remove(addr, topic string) error {
	ctx, cancel := bounded()
	defer cancel()
	client, end := kafkaGoClient(addr)
	defer end()
	res, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return res.Errors[topic]
}

func (kafkaGoLibrary) list(addr string) ([]string, error) {
	ctx, cancel := bounded()
	defer cancel()
	client, end := kafkaGoClient(addr)
	defer end()
	res, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range res.Topics {
		names = append(names, t.Name)
	}
	return names, nil
}

func (kafkaGoLibrary) alter(addr, topic, name, value string) error {
	ctx, cancel := bounded()
	defer cancel()
	client, end := kafkaGoClient(addr)
	defer end()
	res, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	for _, r := range res.Resources {
		if r.Error != nil {
			return r.Error
		}
	}
	return nil
}

func (kafkaGoLibrary) produce(addr, topic, codec string, rounds [][]record) ([]int64, error) {
	w := &kafka.Writer{Addr: kafka.TCP(addr), Topic: topic, RequiredAcks: kafka.RequireAll, MaxAttempts: 50,
		BatchTimeout: 5 * time.Millisecond, Transport: &kafka.Transport{},
		Balancer: kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return m.WriterData.(int) })}
	defer w.Transport.(*kafka.Transport).CloseIdleConnections()
	if codec != "none" {
		if err := w.Compression.UnmarshalText([]byte(codec)); err != nil {
			return nil, err
		}
	}
	for _, records := range rounds {
		if err := kafkaGoSend(w, records); err != nil {
			_ = w.Close()
			return nil, err
		}
	}
	return nil, w.Close()
}

// kafkaGoSend repeats a call that fails before anything is sent: the Writer asks for metadata without a second try, so
// that it answers at once while no agent listens. Failures of single records (WriteErrors) it has repeated itself.
func kafkaGoSend(w *kafka.Writer, records []record) error {
	messages := make([]kafka.Message, len(records))
	for i, r := range records {
		messages[i] = kafka.Message{Key: r.key, Value: r.value, Time: r.time, WriterData: int(r.partition)}
		for _, h := range r.headers {
			messages[i].Headers = append(messages[i].Headers, kafka.Header{Key: h.name, Value: h.value})
		}
	}
	ctx, cancel := bounded()
	defer cancel()
	for {
		err := w.WriteMessages(ctx, messages...)
		var sent kafka.WriteErrors
		if err == nil || errors.As(err, &sent) || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (l kafkaGoLibrary) consume(addr, topic string, from start, each func(record)) error {
	n, err := l.describe(addr, topic)
	if err != nil {
		return err
	}
	for p := range n {
		if err := kafkaGoPartition(addr, topic, p, from, each); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

func kafkaGoPartition(addr, topic string, p int, from start, each func(record)) error {
	ctx, cancel := bounded()
	defer cancel()
	conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, p)
	if err != nil {
		return err
	}
	defer conn.Close()
	first, end, err := conn.ReadOffsets()
	if err != nil || first == end {
		return err
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: topic, Partition: p, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	switch from.at {
	case "offset":
		if err := r.SetOffset(from.n); err != nil {
			return err
		}
	case "time":
		if err := r.SetOffsetAt(ctx, time.UnixMilli(from.n)); err != nil {
			return err
		}
		if r.Offset() < 0 { // no record at or after the time: the reader stands at the end
			return nil
		}
	}
	for r.Offset() < end {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return err
		}
		out := record{partition: int32(m.Partition), offset: m.Offset, time: m.Time, key: m.Key, value: m.Value}
		for _, h := range m.Headers {
			out.headers = append(out.headers, header{h.Key, h.Value})
		}
		each(out)
	}
	return nil
}
