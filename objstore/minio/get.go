package minio

import (
	"context"
	"math"
	"net/http"
	"strconv"

	client "github.com/minio/minio-go/v7"

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
	var opts client.GetObjectOptions
	if !r.IsAll() {
		opts.Set("Range", r.Header()) // the library's SetRange knows no suffix of an unknown length
	}
	body, _, header, err := s.client.GetObject(c.Ctx, s.cfg.Bucket, key, opts)
	if err != nil {
		if c.answer().Status == http.StatusRequestedRangeNotSatisfiable && r.IsSuffix() {
			return objstore.Object{Body: []byte{}}, nil // the only object without a last byte is an empty one
		}
		return objstore.Object{}, s.explain(c, "get", key, err)
	}
	defer body.Close()
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	o, err := s3answer.Body{Bytes: body, Length: length, Range: header.Get("Content-Range")}.Read(c.Call, r)
	if err != nil {
		return objstore.Object{}, s.explain(c, "get", key, err)
	}
	return o, nil
}
