package s3answer

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/varvelog/varve/objstore"
)

// Body is the answer to a GET.
type Body struct {
	Bytes  io.Reader
	Length int64  // as the store says; negative: it does not
	Range  string // Content-Range, empty if there is none
}

// Read checks which bytes an answer holds, and returns those that r means. The call gets the time that they need.
func (b Body) Read(c *Call, r objstore.Range) (objstore.Object, error) {
	first, n, size := int64(0), b.Length, b.Length
	if n < 0 {
		return objstore.Object{}, fmt.Errorf("%w: an answer without a length", objstore.ErrUnknown)
	}
	// For the suffix of an empty object MinIO says "bytes 0--1/0" where S3 answers 416.
	if b.Range != "" && (n > 0 || !strings.HasSuffix(b.Range, "/0")) {
		var err error
		if first, size, err = parseContentRange(b.Range, n); err != nil {
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
	c.Extend(n)
	if _, err := io.CopyN(io.Discard, b.Bytes, off-first); err != nil {
		return objstore.Object{}, fmt.Errorf("%w: read body: %w", objstore.ErrUnknown, err)
	}
	o, err := r.Read(b.Bytes, want, size)
	if err != nil {
		return objstore.Object{}, fmt.Errorf("%w: read body: %w", objstore.ErrUnknown, err)
	}
	return o, nil
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

// Checksum returns the value of the header x-amz-checksum-crc32c of a PUT.
func Checksum(body []byte) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], crc32.Checksum(body, castagnoli))
	return base64.StdEncoding.EncodeToString(b[:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
