// Pure.

package bench

import "time"

// drift is whether answers come later and later: how long the records waited that were meant for each third of a run.
type drift struct {
	sum [3]time.Duration
	n   [3]int64
}

// observe notes a record that was meant for a moment so long after the beginning, of all in the run, and how long it waited.
func (d *drift) observe(after, all, waited time.Duration) {
	third := min(max(0, int(3*after/all)), 2)
	d.sum[third] += waited
	d.n[third]++
}

func (d *drift) merge(o *drift) {
	for i := range d.sum {
		d.sum[i] += o.sum[i]
		d.n[i] += o.n[i]
	}
}

// growth is how much longer, on average, the records of the last third waited than those of the first. It is not known if one of
// them had no record.
func (d *drift) growth() (time.Duration, bool) {
	if d.n[0] == 0 || d.n[2] == 0 {
		return 0, false
	}
	return d.sum[2]/time.Duration(d.n[2]) - d.sum[0]/time.Duration(d.n[0]), true
}
