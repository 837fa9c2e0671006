package kafka

import "github.com/varvelog/varve/objstore/recordbatch"

// How far a batch of a compacted topic is opened, and how many refused records are named.
const (
	openLimit  = 64 << 20
	maxRefused = 100
)

// keys refuses a batch of which a record has no key (PR4), and with it one that cannot be opened or lies about its records.
// Batches of other topics never come here.
func (w *appending) keys(b recordbatch.Batch, r *produceResult) error {
	done, err := w.c.s.opening(w.c.ctx, b)
	defer done()
	if err != nil {
		return err
	}
	d, ok := w.c.s.decoders.Get().(*recordbatch.Decoder)
	if !ok {
		d = new(recordbatch.Decoder)
	}
	defer w.c.s.decoders.Put(d) // a connection's own would be 10 MiB for each of thousands
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
