package s3

import (
	"context"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3answer"
)

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	// A Range header that makes no sense is ignored by a store, which then sends all of the object.
	if _, _, err := r.Resolve(math.MaxInt64); err != nil {
		return objstore.Object{}, err
	}
	c := s.begin(ctx, s.cfg.GetTimeout)
	defer c.End()
	in := &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: &key}
	if !r.IsAll() {
		in.Range = aws.String(r.Header())
	}
	out, err := s.client.GetObject(c.Ctx, in)
	if err != nil {
		if statusOf(err) == 416 && r.IsSuffix() {
			return objstore.Object{Body: []byte{}}, nil // the only object without a last byte is an empty one
		}
		return objstore.Object{}, s.explain(c, "get", key, err)
	}
	defer out.Body.Close()
	length := int64(-1)
	if out.ContentLength != nil {
		length = *out.ContentLength
	}
	o, err := s3answer.Body{Bytes: out.Body, Length: length, Range: aws.ToString(out.ContentRange)}.Read(c, r)
	if err != nil {
		return objstore.Object{}, s.explain(c, "get", key, err)
	}
	return o, nil
}
