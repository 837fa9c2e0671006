package kafka

import "github.com/varvelog/varve/objstore/recordbatch"

// How far a batch of a compacted topic is opened, how many at once in the whole server, and how many refused records are named.
// Opening one takes twice openLimit of memory at most, and the codec's window of 8 MiB; nothing waits for it but the CPU.
const (
	openLimit  = 64 << 20
	openers    = 2
	maxRefused = 100
)

// keys refuses a batch of which a record has no key (PR4), and with it one that cannot be opened or lies about its records.
// Batches of other topics never come here.
func (w *appending) keys(b recordbatch.Batch, r *produceResult) error {
	d := <-w.c.s.openers
	defer func() { w.c.s.openers <- d }()
	at := int32(0)
	for rec, err := range d.Iterate(b, openLimit) {
		if err != nil {
			return err
		}
		if rec.Key == nil && len(r.records) < maxRefused {
			r.records = append(r.records, at)
		}
		at++
	}
	if len(r.records) > 0 {
		r.message = "Compacted topic cannot accept message without key."
		return errKeyless
	}
	return nil
}

// newOpeners makes the decoders that connections share.
func newOpeners() chan *recordbatch.Decoder {
	c := make(chan *recordbatch.Decoder, openers)
	for range openers {
		c <- new(recordbatch.Decoder)
	}
	return c
}
