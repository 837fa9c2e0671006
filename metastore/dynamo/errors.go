package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/varvelog/varve/metastore"
)

// kindOf maps an error code of DynamoDB to one of metastore's errors; nil if the code alone does not say. See "Error handling
// with DynamoDB" in the developer guide. Throttling and conflicts are decided before anything is applied.
func kindOf(code, message string) error {
	switch code {
	case "TransactionConflictException", "TransactionConflict", "TransactionInProgressException", "ReplicatedWriteConflictException":
		return metastore.ErrConflict
	case "ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "ThrottlingException",
		"ThrottlingError", "Throttling", "TooManyRequestsException":
		return metastore.ErrThrottled
	case "ValidationException", "ValidationError":
		// "Item size has exceeded the maximum allowed size", "Item size to update has exceeded the maximum allowed size"
		if m := strings.ToLower(message); strings.Contains(m, "item size") && strings.Contains(m, "exceeded") {
			return metastore.ErrTooLarge
		}
		return metastore.ErrRefused
	case "InternalServerError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException":
		return metastore.ErrUnknown
	}
	return nil
}

// wrap turns an error of the SDK into one of metastore's. What is not known to be refused is unknown: time-outs, resets, 5xx,
// replies that do not parse.
func (s *Store) wrap(err error, what string, key metastore.Key) error {
	var kind error
	var api smithy.APIError
	var resp *smithyhttp.ResponseError
	hasStatus := errors.As(err, &resp)
	if errors.As(err, &api) {
		kind = kindOf(api.ErrorCode(), api.ErrorMessage())
		if kind == nil && hasStatus && resp.HTTPStatusCode() >= 400 && resp.HTTPStatusCode() < 500 {
			kind = metastore.ErrRefused
		}
	}
	switch kind {
	case nil:
		kind = metastore.ErrUnknown
	case metastore.ErrRefused:
		return fmt.Errorf("%w: %s %s: %s: %w", kind, what, key, s.where(), err)
	}
	return fmt.Errorf("%w: %s %s: %w", kind, what, key, err)
}

// where names table, region and endpoint.
func (s *Store) where() string {
	at := ""
	if s.cfg.Endpoint != "" {
		at = " at " + s.cfg.Endpoint
	}
	return fmt.Sprintf("table %s in %s%s", s.cfg.Table, s.cfg.Region, at)
}

// failed is the error of op, whose condition did not hold for the item old. Some stores leave the item out, and an absent
// item comes as none too: only a consistent read tells them apart. If that fails, the outcome stays unknown: something
// between here and the store may have repeated a write that succeeded.
func (s *Store) failed(ctx context.Context, op metastore.Op, index int, old attrs) error {
	it, err := fromItem(old)
	if err != nil {
		return fmt.Errorf("%w: write %s: %w", metastore.ErrRefused, op.Key, err)
	}
	if it == nil {
		it, err = s.Get(ctx, op.Key, metastore.Consistent)
		if err != nil && !errors.Is(err, metastore.ErrNotFound) {
			return fmt.Errorf("%w: write %s: condition failed, and the item cannot be read: %s", metastore.ErrUnknown, op.Key, err)
		}
	}
	if len(op.Add) > 0 {
		// The condition that was sent also asks that sums stay numbers: see expr.condition.
		if _, err := op.Apply(it); errors.Is(err, metastore.ErrRefused) {
			return err
		}
	}
	return &metastore.ConditionError{Index: index, Key: op.Key, Old: it}
}

// cancelled is the error of a transaction that was cancelled: nothing of it was applied. There is a reason for each op. A
// failed condition goes before all other reasons, for it says most: it is true whatever else there was.
func (s *Store) cancelled(ctx context.Context, ops []metastore.Op, c *types.TransactionCanceledException) error {
	var other error
	for i, r := range c.CancellationReasons {
		code, message := aws.ToString(r.Code), aws.ToString(r.Message)
		switch {
		case code == "" || code == "None" || i >= len(ops):
			continue
		case code == "ConditionalCheckFailed":
			err := s.failed(ctx, ops[i], i, r.Item)
			if errors.Is(err, metastore.ErrCondition) || errors.Is(err, metastore.ErrUnknown) {
				return err
			}
			other = first(other, err)
		default:
			kind := kindOf(code, message)
			if kind == nil {
				kind = metastore.ErrRefused
			}
			other = first(other, fmt.Errorf("%w: op %d on %s: %s: %s: %s", kind, i, ops[i].Key, s.where(), code, message))
		}
	}
	if other == nil {
		// No reasons: some stores send them only in the message.
		return fmt.Errorf("%w: transaction of %d ops: %w", metastore.ErrUnknown, len(ops), c)
	}
	return other
}

// first is a, or b if there is no a.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
