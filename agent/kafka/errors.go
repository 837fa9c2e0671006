package kafka

import (
	"context"
	"errors"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/segment"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/agent/txn"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// Kafka's error codes, as far as this server gives them.
const (
	codeUnknown                   int16 = -1
	codeNone                      int16 = 0
	codeOffsetOutOfRange          int16 = 1
	codeCorruptMessage            int16 = 2
	codeUnknownTopicOrPartition   int16 = 3
	codeLeaderNotAvailable        int16 = 5
	codeNotLeaderOrFollower       int16 = 6
	codeRequestTimedOut           int16 = 7
	codeMessageTooLarge           int16 = 10
	codeOffsetMetadataTooLarge    int16 = 12
	codeCoordinatorLoadInProgress int16 = 14
	codeCoordinatorNotAvailable   int16 = 15
	codeNotCoordinator            int16 = 16
	codeInvalidTopic              int16 = 17
	codeNotEnoughReplicas         int16 = 19
	codeInvalidRequiredAcks       int16 = 21
	codeIllegalGeneration         int16 = 22
	codeInconsistentGroupProtocol int16 = 23
	codeInvalidGroupID            int16 = 24
	codeUnknownMemberID           int16 = 25
	codeInvalidSessionTimeout     int16 = 26
	codeRebalanceInProgress       int16 = 27
	codeInvalidTimestamp          int16 = 32
	codeUnsupportedVersion        int16 = 35
	codeTopicAlreadyExists        int16 = 36
	codeInvalidPartitions         int16 = 37
	codeInvalidReplicationFactor  int16 = 38
	codeInvalidReplicaAssignment  int16 = 39
	codeInvalidConfig             int16 = 40
	codeInvalidRequest            int16 = 42
	codePolicyViolation           int16 = 44
	codeOutOfOrderSequence        int16 = 45
	codeInvalidProducerEpoch      int16 = 47
	codeTransactionalIDAuthFailed int16 = 53
	codeSecurityDisabled          int16 = 54
	codeStorage                   int16 = 56
	codeNonEmptyGroup             int16 = 68
	codeGroupIDNotFound           int16 = 69
	codeFetchSessionIDNotFound    int16 = 70
	codeInvalidFetchSessionEpoch  int16 = 71
	codeFencedLeaderEpoch         int16 = 74
	codeUnknownLeaderEpoch        int16 = 75
	codeUnsupportedCompression    int16 = 76
	codeOffsetNotAvailable        int16 = 78
	codeMemberIDRequired          int16 = 79
	codeNoPreferredLeader         int16 = 80
	codeGroupMaxSizeReached       int16 = 81
	codeFencedInstanceID          int16 = 82
	codeNoEligibleLeaders         int16 = 83
	codeElectionNotNeeded         int16 = 84
	codeNoReassignmentInProgress  int16 = 85
	codeGroupSubscribedToTopic    int16 = 86
	codeInvalidRecord             int16 = 87
	codeResourceNotFound          int16 = 91
	codeDuplicateResource         int16 = 92
	codeUnknownTopicID            int16 = 100
	codeFetchSessionTopicID       int16 = 106
	codeFencedMemberEpoch         int16 = 110
	codeUnreleasedInstanceID      int16 = 111
	codeUnsupportedAssignor       int16 = 112
	codeStaleMemberEpoch          int16 = 113
	codeMismatchedEndpointType    int16 = 114
	codeUnsupportedEndpointType   int16 = 115
	codeInvalidRegex              int16 = 128
	codeRebootstrapRequired       int16 = 129
)

// codes is the one table from the errors of the rooms to Kafka's. The first that matches counts. What a client does about a
// code is what matters: 6 makes it look for the leader, 7 and 56 make it try again, -1 makes a Java producer give up.
var codes = []struct {
	err  error
	code int16
}{
	{partition.ErrNotLeader, codeNotLeaderOrFollower},
	{partition.ErrLoading, codeNotLeaderOrFollower}, // ListOffsets says otherwise, see there
	{partition.ErrDraining, codeNotLeaderOrFollower},
	{records.ErrFenced, codeNotLeaderOrFollower},
	{partition.ErrOutOfOrder, codeOutOfOrderSequence},
	{partition.ErrEarly, codeNotEnoughReplicas}, // tried again, and nothing more: there is no other leader to look for
	{partition.ErrProducerEpoch, codeInvalidProducerEpoch},
	{partition.ErrTimestamp, codeInvalidTimestamp},

	{recordbatch.ErrMagic, codeInvalidRecord},
	{recordbatch.ErrTruncated, codeCorruptMessage},
	{recordbatch.ErrCorrupt, codeCorruptMessage},
	{recordbatch.ErrCRC, codeCorruptMessage},
	{recordbatch.ErrCodec, codeInvalidRecord}, // Kafka says -1; this one, too, is not tried again
	{recordbatch.ErrInvalid, codeInvalidRecord},
	{recordbatch.ErrTooLarge, codeMessageTooLarge},

	{errAcks, codeInvalidRequiredAcks},
	{errTransactional, codeTransactionalIDAuthFailed},
	{errNoBatch, codeInvalidRecord},
	{errTwoBatches, codeInvalidRecord},
	{errControl, codeInvalidRecord},
	{errKeyless, codeInvalidRecord},
	{errOldZstd, codeUnsupportedCompression},

	{fetch.ErrCorrupt, codeCorruptMessage},

	{errUnknownID, codeUnknownTopicID},
	{topic.ErrUnknown, codeUnknownTopicOrPartition},
	{topic.ErrExists, codeTopicAlreadyExists},
	{topic.ErrName, codeInvalidTopic},
	{topic.ErrPartitions, codeInvalidPartitions},
	{topic.ErrConfig, codeInvalidConfig},
	{topic.ErrReadOnly, codeInvalidRequest},
	{topic.ErrUnavailable, codeRequestTimedOut},

	{cluster.ErrRefused, codeInvalidRequest},
	{segment.ErrManyWishes, codeInvalidRequest},

	{txn.ErrUnavailable, codeCoordinatorLoadInProgress}, // Java looks for a coordinator on 15, which an idempotent producer has none of

	{group.ErrNotCoordinator, codeNotCoordinator},
	{group.ErrLoading, codeCoordinatorLoadInProgress},
	{group.ErrUnavailable, codeCoordinatorNotAvailable},
	{group.ErrUnknownMember, codeUnknownMemberID},
	{group.ErrGeneration, codeIllegalGeneration},
	{group.ErrRebalance, codeRebalanceInProgress},
	{group.ErrFenced, codeFencedInstanceID},
	{group.ErrProtocol, codeInconsistentGroupProtocol},
	{group.ErrOtherType, codeInconsistentGroupProtocol},
	{group.ErrMemberIDRequired, codeMemberIDRequired},
	{group.ErrSessionTimeout, codeInvalidSessionTimeout},
	{group.ErrFull, codeGroupMaxSizeReached},
	{group.ErrGroupID, codeInvalidGroupID},
	{group.ErrUnknownGroup, codeGroupIDNotFound},
	{group.ErrNotEmpty, codeNonEmptyGroup},
	{group.ErrSubscribed, codeGroupSubscribedToTopic},
	{group.ErrRequest, codeInvalidRequest},
	{group.ErrFencedEpoch, codeFencedMemberEpoch},
	{group.ErrStaleEpoch, codeStaleMemberEpoch},
	{group.ErrUnreleased, codeUnreleasedInstanceID},
	{group.ErrAssignor, codeUnsupportedAssignor},
	{group.ErrRegex, codeInvalidRegex},
	{group.ErrVersion, codeUnsupportedVersion},

	{context.DeadlineExceeded, codeRequestTimedOut},
	{context.Canceled, codeRequestTimedOut},
}

// codeOf returns Kafka's code for an error of a room; for one that is not in the table, unknown.
func codeOf(err error, unknown int16) int16 {
	if err == nil {
		return codeNone
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return unknown
}
