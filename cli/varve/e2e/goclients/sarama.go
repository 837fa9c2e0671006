package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// saramaLibrary is IBM's sarama.
type saramaLibrary struct{}

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	// Defaults give up on an agent that starts anew: 3 tries of a batch, 100 ms apart, and of metadata, 250 ms apart.
	c.Producer.Retry.Max, c.Producer.Retry.Backoff = 240, 250*time.Millisecond
	c.Metadata.Retry.Max = 240
	return c
}

func (saramaLibrary) admin(addr string, do func(sarama.ClusterAdmin) error) error {
	a, err := sarama.NewClusterAdmin([]string{addr}, saramaConfig())
	if err != nil {
		return err
	}
	defer a.Close()
	return do(a)
}

func (l saramaLibrary) create(addr, topic string, partitions int) error {
	return l.admin(addr, func(a sarama.ClusterAdmin) error {
		return a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1}, false)
	})
}

func (l saramaLibrary) describe(addr, topic string) (n int, err error) {
	err = l.admin(addr, func(a sarama.ClusterAdmin) error {
		found, err := a.DescribeTopics([]string{topic})
		if err != nil {
			return err
		}
		if len(found) != 1 || found[0].Err != sarama.ErrNoError {
			return fmt.Errorf("describe: %v", found)
		}
		n = len(found[0].Partitions)
		return nil
	})
	return n, err
}

func (l saramaLibrary) config(addr, topic, name string) (value string, err error) {
	err = l.admin(addr, func(a sarama.ClusterAdmin) error {
		found, err := a.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}}},
			sarama.DescribeConfigsOptions{})
		if err != nil {
			return err
		}
		for _, r := range found {
			for _, e := range r.Configs {
				if e.Name == name {
					value = e.Value
					return nil
				}
			}
		}
		return fmt.Errorf("no config %s", name)
	})
	return value, err
}

func (l saramaLibrary) remove(addr, topic string) error {
	return l.admin(addr, func(a sarama.ClusterAdmin) error { return a.DeleteTopic(topic) })
}

func (l saramaLibrary) list(addr string) (names []string, err error) {
	err = l.admin(addr, func(a sarama.ClusterAdmin) error {
		topics, err := a.ListTopics()
		names = slices.Collect(maps.Keys(topics))
		return err
	})
	return names, err
}

func (l saramaLibrary) alter(addr, topic, name, value string) error {
	return l.admin(addr, func(a sarama.ClusterAdmin) error {
		return a.IncrementalAlterConfig(sarama.TopicResource, topic,
			map[string]sarama.IncrementalAlterConfigsEntry{name: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false)
	})
}

func (saramaLibrary) produce(addr, topic, codec string, rounds [][]record) ([]int64, error) {
	c := saramaConfig()
	if err := c.Producer.Compression.UnmarshalText([]byte(codec)); err != nil {
		return nil, err
	}
	c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
	p, err := sarama.NewSyncProducer([]string{addr}, c)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var offsets []int64
	for _, records := range rounds {
		messages := saramaMessages(topic, records)
		if err := p.SendMessages(messages); err != nil {
			return nil, err
		}
		for _, m := range messages {
			offsets = append(offsets, m.Offset)
		}
	}
	return offsets, nil
}

func saramaMessages(topic string, records []record) []*sarama.ProducerMessage {
	messages := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		m := &sarama.ProducerMessage{Topic: topic, Partition: r.partition, Timestamp: r.time}
		if r.key != nil {
			m.Key = sarama.ByteEncoder(r.key)
		}
		if r.value != nil {
			m.Value = sarama.ByteEncoder(r.value)
		}
		for _, h := range r.headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.name), Value: h.value})
		}
		messages[i] = m
	}
	return messages
}

func (saramaLibrary) consume(addr, topic string, from start, each func(record)) error {
	client, err := sarama.NewClient([]string{addr}, saramaConfig())
	if err != nil {
		return err
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	defer consumer.Close()
	partitions, err := consumer.Partitions(topic)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		if err := saramaPartition(client, consumer, topic, p, from, each); err != nil {
			return err
		}
	}
	return nil
}

func saramaPartition(client sarama.Client, consumer sarama.Consumer, topic string, p int32, from start, each func(record)) error {
	next, err := from.n, error(nil)
	switch from.at {
	case "beginning":
		next, err = client.GetOffset(topic, p, sarama.OffsetOldest)
	case "time":
		next, err = client.GetOffset(topic, p, from.n)
	}
	if err != nil {
		return err
	}
	end, err := client.GetOffset(topic, p, sarama.OffsetNewest)
	if err != nil || next < 0 || next >= end { // -1: no record at or after the time
		return err
	}
	pc, err := consumer.ConsumePartition(topic, p, next)
	if err != nil {
		return err
	}
	defer pc.Close()
	timeout := time.After(30 * time.Second)
	for next < end {
		select {
		case m := <-pc.Messages():
			r := record{partition: p, offset: m.Offset, time: m.Timestamp, key: m.Key, value: m.Value}
			for _, h := range m.Headers {
				r.headers = append(r.headers, header{string(h.Key), h.Value})
			}
			each(r)
			next = m.Offset + 1
		case <-timeout:
			return fmt.Errorf("partition %d: at %d of %d after 30 s", p, next, end)
		}
	}
	return nil
}
