package kafka

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId (key 22): v0-5.
//
//	v2: flexible. v3: an id and epoch to go on with, which count for transactional ids only. v4: PRODUCER_FENCED. v5: KIP-890.
//
// Differs from Kafka: a transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client takes as
// final; there are no transactions yet.
func (s *Server) initProducerID(ctx context.Context, req *kmsg.InitProducerIDRequest) *kmsg.InitProducerIDResponse {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch id := req.TransactionalID; {
	case id == nil:
	case *id == "":
		resp.ErrorCode = codeInvalidRequest
		return resp
	default:
		s.note(slog.LevelWarn, "transactional producer refused: transactions are not supported yet", "transactional.id", printable([]byte(*id)))
		resp.ErrorCode = codeTransactionalIDAuthFailed
		return resp
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	id, err := s.deps.Producers.Next(ctx)
	if err != nil {
		s.note(slog.LevelWarn, "no producer id", "error", err)
		resp.ErrorCode = codeCoordinatorLoadInProgress // clients ask again
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp
}
