package objstore

import (
	"context"
	"fmt"
)

// The helpers of this file are for drivers, so that all of them refuse the same calls with the same errors.

// MaxList is the most objects that one List returns (S3 ListObjectsV2).
const MaxList = 1000

// Check returns an error if ctx has ended (ErrUnknown and the context's error) or if one of keys is not legal (ErrRefused,
// see CheckKey). A driver calls it before anything else.
func Check(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := CheckKey(key); err != nil {
			return err
		}
	}
	return Ended(ctx)
}

// CheckDelete is Check for Delete: it also refuses more than MaxDelete keys.
func CheckDelete(ctx context.Context, keys []string) error {
	if len(keys) > MaxDelete {
		return fmt.Errorf("%w: delete of %d keys at once, %d is the most", ErrRefused, len(keys), MaxDelete)
	}
	return Check(ctx, keys...)
}

// Ended returns nil while ctx goes on, then an error that matches ErrUnknown, ctx.Err() and the cause.
func Ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w: %w", ErrUnknown, ctx.Err(), cause)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
}

// ListLimit returns how many objects a List with the given limit returns at most.
func ListLimit(limit int) int {
	if limit <= 0 || limit > MaxList {
		return MaxList
	}
	return limit
}
