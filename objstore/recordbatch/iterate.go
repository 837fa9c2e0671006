// Pure.

package recordbatch

import (
	"errors"
	"fmt"
	"io"
	"iter"
)

// Record is one record of a batch. Key and Value alias the batch, or memory that was allocated for them and is not used again.
type Record struct {
	Offset    int64
	Timestamp int64    // ms since 1970
	Key       []byte   // nil: null
	Value     []byte   // nil: null, a tombstone
	Headers   []Header // nil: none
}

// Header is one header of a record. Keys may repeat.
type Header struct {
	Key   string
	Value []byte // nil: null
}

// Sizes in bytes of the pieces in which a stream is decompressed.
const (
	firstChunk = 16 << 10
	maxChunk   = 512 << 10
)

// Iterate decodes the records of b. limit caps their bytes when decompressed: beyond it the error is ErrTooLarge, and
// memory stays below twice limit plus the codec's window (zstd: at most 8 MiB, or limit if that is more; others: 4 MiB). The
// headers of one record may take limit bytes of memory too. An error is the last thing yielded: ErrTooLarge, ErrCodec,
// ErrInvalid (lengths, counts, deltas). CRC and header fields are not checked, see Check.
//
// It sets up the codec anew, which costs more than a small batch: see Decoder.
func (b Batch) Iterate(limit int) iter.Seq2[Record, error] {
	return new(Decoder).Iterate(b, limit)
}

// Iterate is Batch.Iterate with a codec that was set up before.
func (d *Decoder) Iterate(b Batch, limit int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		own := d
		if own.busy { // a loop inside a loop
			own = new(Decoder)
		}
		own.busy = true
		defer func() { own.busy = false }()
		if err := own.iterate(b, limit, yield); err != nil {
			yield(Record{}, err)
		}
	}
}

// iterate yields the records of b until one is wrong or yield has enough.
func (d *Decoder) iterate(b Batch, limit int, yield func(Record, error) bool) error {
	if len(b) < HeaderLen {
		return fmt.Errorf("%d bytes: %w", len(b), ErrTruncated)
	}
	whole, r, err := d.open(b.Codec(), b.Payload(), limit)
	if err != nil {
		return err
	}
	if len(whole) > limit {
		return fmt.Errorf("%d bytes, %d allowed: %w", len(whole), limit, ErrTooLarge)
	}
	s := source{buf: whole, r: r, codec: b.Codec(), left: limit, limit: limit}
	n := b.NumRecords()
	if n < 0 {
		return fmt.Errorf("%d records: %w", n, ErrInvalid)
	}
	for i := range n {
		rec, err := s.record(b)
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i, n, err)
		}
		if !yield(rec, nil) {
			return nil
		}
	}
	return s.end(n)
}

// source is the decompressed bytes that have not been decoded.
type source struct {
	buf   []byte    // read, not decoded
	r     io.Reader // the rest; nil when there is none
	codec Codec
	left  int // how many bytes may still be read from r
	limit int
	chunk int // size of the last chunk
}

// need makes buf hold at least n bytes, if the stream has them. A chunk is read full before the next one.
func (s *source) need(n int) error {
	for len(s.buf) < n && s.r != nil {
		if n-len(s.buf) > s.left {
			return fmt.Errorf("more than %d bytes: %w", s.limit, ErrTooLarge)
		}
		if cap(s.buf) == len(s.buf) {
			s.grow(n)
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
	return nil
}

// grow moves buf to a larger chunk; the old one belongs to the records that alias it. A record's length is believed once
// a quarter of it has come.
func (s *source) grow(n int) {
	size := min(max(2*s.chunk, firstChunk), maxChunk)
	if n > size {
		size = min(n, max(4*len(s.buf), size))
	}
	s.chunk = min(size, maxChunk)
	s.buf = append(make([]byte, 0, size), s.buf...)
}

// fill reads once from the stream into the room after buf.
func (s *source) fill() error {
	have := len(s.buf)
	room := s.buf[have:min(cap(s.buf), have+s.left)]
	n, err := s.r.Read(room)
	s.buf = s.buf[:have+n]
	s.left -= n
	if errors.Is(err, io.EOF) {
		s.r = nil
		return nil
	}
	if err != nil {
		return codecError(s.codec, err)
	}
	return nil
}

// end checks that nothing follows the last of n records.
func (s *source) end(n int32) error {
	var probe [1]byte
	for len(s.buf) == 0 && s.r != nil {
		got, err := s.r.Read(probe[:])
		switch {
		case got > 0:
			s.buf = probe[:]
		case errors.Is(err, io.EOF):
			s.r = nil
		case err != nil:
			return codecError(s.codec, err)
		}
	}
	if len(s.buf) > 0 {
		return fmt.Errorf("bytes after record %d: %w", n, ErrInvalid)
	}
	return nil
}
