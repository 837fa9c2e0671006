package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// LogBounds are where logs begin and end, by topic and partition; of those that are led elsewhere, or are not there, nothing.
type LogBounds struct{ Start, End map[string]map[int32]int64 }

// maxBoundsBytes is the largest answer that AskBounds takes.
const maxBoundsBytes = 16 << 20

// AskBounds asks an agent, as its clients do, for the bounds of logs that it leads. It closes nc.
func AskBounds(ctx context.Context, nc net.Conn, topics map[string][]int32) (LogBounds, error) {
	defer nc.Close()
	over := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer over()
	var b LogBounds
	var err error
	if b.Start, err = askOffsets(nc, topics, -2); err == nil {
		b.End, err = askOffsets(nc, topics, -1)
	}
	if err != nil {
		return b, fmt.Errorf("ask %v for offsets: %w", nc.RemoteAddr(), err)
	}
	return b, nil
}

// askOffsets is one ListOffsets, of the earliest (-2) or the latest (-1) offset.
func askOffsets(nc net.Conn, topics map[string][]int32, at int64) (map[string]map[int32]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 5, -1
	for topic, parts := range topics {
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = topic
		for _, n := range parts {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = n, at
			rt.Partitions = append(rt.Partitions, p)
		}
		req.Topics = append(req.Topics, rt)
	}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("varve-groups")).AppendRequest(nil, req, 1)
	if _, err := nc.Write(frame); err != nil {
		return nil, err
	}
	var head [sizeLen + 4]byte // size, correlation id
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > maxBoundsBytes {
		return nil, fmt.Errorf("an answer of %d bytes", size)
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(nc, body); err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrListOffsetsResponse()
	resp.Version = req.Version
	if err := resp.ReadFrom(body); err != nil {
		return nil, err
	}
	found := map[string]map[int32]int64{}
	for _, t := range resp.Topics {
		found[t.Topic] = map[int32]int64{}
		for _, p := range t.Partitions {
			if p.ErrorCode == codeNone {
				found[t.Topic][p.Partition] = p.Offset
			}
		}
	}
	return found, nil
}
