package minio

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	client "github.com/minio/minio-go/v7"

	"github.com/varvelog/varve/objstore"
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
	defer c.end()
	var opts client.GetObjectOptions
	if !r.IsAll() {
		opts.Set("Range", r.Header()) // the library's SetRange knows no suffix of an unknown length
	}
	body, _, header, err := s.client.GetObject(c.ctx, s.cfg.Bucket, key, opts)
	if err != nil {
		if c.answer().Status == http.StatusRequestedRangeNotSatisfiable && r.IsSuffix() {
			return objstore.Object{Body: []byte{}}, nil // the only object without a last byte is an empty one
		}
		return objstore.Object{}, s.explain(c, "get", key, err)
	}
	defer body.Close()
	o, err := c.read(body, header, r)
	if err != nil {
		return objstore.Object{}, s.explain(c, "get", key, err)
	}
	return o, nil
}

// read checks which bytes an answer holds, and returns those that r means.
func (c *call) read(src io.Reader, header http.Header, r objstore.Range) (objstore.Object, error) {
	n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	first, size := int64(0), n
	if err != nil || n < 0 {
		return objstore.Object{}, fmt.Errorf("%w: an answer without a length", objstore.ErrUnknown)
	}
	// For the suffix of an empty object MinIO says "bytes 0--1/0" where S3 answers 416.
	if cr := header.Get("Content-Range"); cr != "" && (n > 0 || !strings.HasSuffix(cr, "/0")) {
		if first, size, err = parseContentRange(cr, n); err != nil {
			return objstore.Object{}, err
		}
	}
	off, want, err := r.Resolve(size)
	if err != nil {
		return objstore.Object{}, err // S3 answers a range that begins inside with what there is
	}
	// A store that ignores ranges answers with all of the object; what comes before can be skipped.
	if off < first || off+want > first+n {
		return objstore.Object{}, fmt.Errorf("%w: asked for %s, got %d bytes from %d", objstore.ErrUnknown, r, n, first)
	}
	c.extend(c.limit + moving(n))
	if _, err := io.CopyN(io.Discard, src, off-first); err != nil {
		return objstore.Object{}, fmt.Errorf("%w: read body: %w", objstore.ErrUnknown, err)
	}
	body := make([]byte, want)
	if got, err := io.ReadFull(src, body); err != nil {
		return objstore.Object{}, fmt.Errorf("%w: read body: %d bytes of %d: %w", objstore.ErrUnknown, got, want, err)
	}
	return objstore.Object{Body: body, Size: size}, nil
}

// parseContentRange reads "bytes 0-9/100", the range of an answer of n bytes (RFC 9110 section 14.4).
func parseContentRange(s string, n int64) (first, size int64, err error) {
	spec, found := strings.CutPrefix(s, "bytes ")
	span, total, ok := strings.Cut(spec, "/")
	from, to, ok2 := strings.Cut(span, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	if !found || !ok || !ok2 || err1 != nil || err2 != nil || err3 != nil ||
		first < 0 || last < first || last >= size || last-first+1 != n {
		return 0, 0, fmt.Errorf("%w: an answer of %d bytes with Content-Range %q", objstore.ErrUnknown, n, s)
	}
	return first, size, nil
}
