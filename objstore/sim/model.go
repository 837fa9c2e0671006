// Pure.

package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Latency says how long one kind of request takes:
//
//	LogNormal(ln P50, sigma) + bytes / (Rate x LogNormal(0, 0.2)) + straggler, sigma = ln(P99/P50) / 2.326
//
// The zero Latency is no delay.
type Latency struct {
	P50, P99 time.Duration // of a request without its bytes; no spread unless P99 > P50
	Rate     float64       // of the body, bytes a second; 0: bytes take no time
	// Straggler is the share of requests, 0 to 1, that take between StragglerMin and StragglerMax longer, all equally likely.
	Straggler                  float64
	StragglerMin, StragglerMax time.Duration
}

const (
	z99        = 2.326 // the 99th percentile of the standard normal distribution
	rateSpread = 0.2   // sigma of Rate
)

// Draw throws the dice for one request: how long it takes without its bytes, and the nanoseconds that each byte adds.
func (l Latency) Draw(rng *rand.Rand) (base time.Duration, perByte float64) {
	// Always the same dice, so that one setting does not shift what another one draws.
	normal, rate, hit, length := rng.NormFloat64(), rng.NormFloat64(), rng.Float64(), rng.Float64()
	sigma := 0.0
	if l.P99 > l.P50 && l.P50 > 0 {
		sigma = math.Log(float64(l.P99)/float64(l.P50)) / z99
	}
	base = time.Duration(float64(l.P50) * math.Exp(sigma*normal))
	if hit < l.Straggler {
		base += l.StragglerMin + time.Duration(length*float64(l.StragglerMax-l.StragglerMin))
	}
	if l.Rate > 0 {
		perByte = float64(time.Second) / (l.Rate * math.Exp(rateSpread*rate))
	}
	return base, perByte
}

// Model is how one class of store behaves. The zero Model is no delay and no ceiling.
type Model struct {
	Name                   string
	Put, Get, List, Delete Latency
	// Requests a second that one prefix takes, a key up to its last slash. What comes above is ErrThrottled. 0: no ceiling.
	Writes, Reads float64
}

const (
	ms = time.Millisecond
	mb = 1e6
)

// S3Standard is S3 in its first class. A listing takes as long as a GET and a deletion as long as a PUT, without the bytes.
// The ceilings are those of the S3 user guide, "Best practices design patterns: optimizing Amazon S3 performance".
func S3Standard() Model {
	put := Latency{P50: 45 * ms, P99: 300 * ms, Rate: 100 * mb, Straggler: 0.0005, StragglerMin: 500 * ms, StragglerMax: 2000 * ms}
	get := Latency{P50: 15 * ms, P99: 80 * ms, Rate: 90 * mb, Straggler: 0.0005, StragglerMin: 300 * ms, StragglerMax: 1000 * ms}
	return Model{Name: "s3-standard", Put: put, Get: get, List: get, Delete: put, Writes: 3500, Reads: 5500}
}

// S3Express is S3 Express One Zone. Its numbers are published ones that nobody has measured here, and it has no ceilings of
// prefixes.
func S3Express() Model {
	put := Latency{P50: 5 * ms, P99: 15 * ms, Rate: 180 * mb, Straggler: 0.0002, StragglerMin: 100 * ms, StragglerMax: 300 * ms}
	get := put
	get.P50, get.P99, get.Rate = 4*ms, 10*ms, 200*mb
	return Model{Name: "s3-express", Put: put, Get: get, List: get, Delete: put}
}

// Named returns the model of a name; the empty name is S3Standard.
func Named(name string) (Model, error) {
	for _, m := range []Model{S3Standard(), S3Express()} {
		if name == m.Name || name == "" {
			return m, nil
		}
	}
	return Model{}, fmt.Errorf("model %q is none of s3-standard, s3-express", name)
}
