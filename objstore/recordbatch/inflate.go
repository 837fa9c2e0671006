// Pure.

package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// minWindow is the zstd window that is allowed whatever the caller's cap: what RFC 8878 asks of every decoder. Encoders
// that stream name a window of some MiB even for a few records.
const minWindow = 8 << 20

// xerialMagic opens the framing that Java clients put around snappy: magic 8 | version i32 | compatible i32, then blocks,
// each: length i32, big-endian | raw snappy.
const (
	xerialMagic  = "\x82SNAPPY\x00"
	xerialHeader = 16
)

// lz4Magic opens an LZ4 frame. Legacy and skippable frames, which Kafka never writes, are refused.
const lz4Magic = "\x04\x22\x4d\x18"

// Decoder decodes batches one after another and keeps what the codecs need for that, up to some 10 MiB: for whoever opens
// many. The zero value is ready. Not for several goroutines at once.
type Decoder struct {
	gzip   *gzip.Reader
	lz4    *lz4.Reader
	zstd   *zstd.Decoder
	window uint64 // that zstd was set up for
	busy   bool   // an iteration is under way
}

// open returns the decompressed payload: whole, or as a stream to be read up to limit bytes.
func (d *Decoder) open(c Codec, payload []byte, limit int) (whole []byte, r io.Reader, err error) {
	src := bytes.NewReader(payload)
	switch c {
	case None:
		return payload, nil, nil
	case Snappy:
		whole, err = unsnap(payload, limit)
	case Gzip:
		r, err = d.openGzip(src)
	case LZ4:
		if !bytes.HasPrefix(payload, []byte(lz4Magic)) {
			return nil, nil, fmt.Errorf("lz4: no frame: %w", ErrCodec)
		}
		r = d.openLZ4(src)
	case Zstd:
		r, err = d.openZstd(src, limit)
	default:
		err = fmt.Errorf("codec %d: %w", c, ErrCodec)
	}
	if err != nil {
		return nil, nil, codecError(c, err)
	}
	return whole, r, nil
}

func (d *Decoder) openGzip(src *bytes.Reader) (io.Reader, error) {
	if d.gzip == nil {
		d.gzip = new(gzip.Reader)
	}
	return d.gzip, d.gzip.Reset(src)
}

func (d *Decoder) openLZ4(src *bytes.Reader) io.Reader {
	if d.lz4 == nil {
		d.lz4 = lz4.NewReader(src)
	} else {
		d.lz4.Reset(src)
	}
	return d.lz4
}

// openZstd uses a decoder without goroutines, so that nobody needs to close it.
func (d *Decoder) openZstd(src *bytes.Reader, limit int) (io.Reader, error) {
	window := uint64(min(max(limit, minWindow), zstd.MaxWindowSize))
	if d.zstd != nil && d.window == window {
		return d.zstd, d.zstd.Reset(src)
	}
	d.window = window
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeBuffersBelow(0), zstd.WithDecoderMaxWindow(window))
	d.zstd = z
	return z, err
}

// codecError makes what a decoder said one of ours.
func codecError(c Codec, err error) error {
	switch {
	case errors.Is(err, ErrCodec), errors.Is(err, ErrTooLarge):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%v: %v: %w", c, err, ErrTooLarge)
	}
	return fmt.Errorf("%v: %v: %w", c, err, ErrCodec)
}

// unsnap decompresses snappy, raw or framed, to at most limit bytes. What the blocks declare is added up first, and believed
// only as far as their bytes can reach, so that nothing is allocated on a lie.
func unsnap(src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, []byte(xerialMagic)) {
		n, err := snapLen(src, limit)
		if err != nil {
			return nil, err
		}
		return unsnapBlock(make([]byte, 0, n), src)
	}
	if len(src) < xerialHeader {
		return nil, fmt.Errorf("xerial header cut: %w", ErrCodec)
	}
	total := 0
	for rest := src[xerialHeader:]; len(rest) > 0; {
		block, after, err := xerialBlock(rest)
		if err != nil {
			return nil, err
		}
		n, err := snapLen(block, limit-total)
		if err != nil {
			return nil, err
		}
		total += n
		rest = after
	}
	out := make([]byte, 0, total)
	for rest := src[xerialHeader:]; len(rest) > 0; {
		block, after, err := xerialBlock(rest)
		if err != nil {
			return nil, err
		}
		if out, err = unsnapBlock(out, block); err != nil {
			return nil, err
		}
		rest = after
	}
	return out, nil
}

// xerialBlock splits off the first block.
func xerialBlock(b []byte) (block, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("xerial block cut: %w", ErrCodec)
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, fmt.Errorf("xerial block of %d bytes, %d left: %w", n, len(b)-4, ErrCodec)
	}
	return b[4 : 4+n], b[4+n:], nil
}

// snapLen is the length that a raw block declares, if it may be believed.
func snapLen(block []byte, limit int) (int, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return 0, fmt.Errorf("snappy: %v: %w", err, ErrCodec)
	}
	if n > len(block)*snappyRatio {
		return 0, fmt.Errorf("snappy: %d bytes declared, %d there: %w", n, len(block), ErrCodec)
	}
	if n > limit {
		return 0, fmt.Errorf("snappy: %d bytes, %d allowed: %w", n, limit, ErrTooLarge)
	}
	return n, nil
}

// unsnapBlock appends a raw block to out, which has room for it.
func unsnapBlock(out, block []byte) ([]byte, error) {
	n := len(out)
	room := out[n:cap(out)]
	got, err := snappy.DecodeStrict(room, block)
	if err != nil {
		return nil, fmt.Errorf("snappy: %v: %w", err, ErrCodec)
	}
	return append(out, got...), nil // got lies in room already, unless it was empty
}
