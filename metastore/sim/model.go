// Pure.

package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Latency says how long one kind of request takes: LogNormal(ln P50, sigma) + straggler, sigma = ln(P99/P50) / 2.326, all of
// it Times over. The zero Latency is no delay.
type Latency struct {
	P50, P99 time.Duration // no spread unless P99 > P50
	// Straggler is the share of requests, 0 to 1, that take between StragglerMin and StragglerMax longer, all equally likely.
	Straggler                  float64
	StragglerMin, StragglerMax time.Duration
	Times                      float64 // 0 means 1
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.326

// Draw throws the dice for one request.
func (l Latency) Draw(rng *rand.Rand) time.Duration {
	// Always the same dice, so that one setting does not shift what another one draws.
	normal, hit, length := rng.NormFloat64(), rng.Float64(), rng.Float64()
	sigma := 0.0
	if l.P99 > l.P50 && l.P50 > 0 {
		sigma = math.Log(float64(l.P99)/float64(l.P50)) / z99
	}
	d := float64(l.P50) * math.Exp(sigma*normal)
	if hit < l.Straggler {
		d += float64(l.StragglerMin) + length*float64(l.StragglerMax-l.StragglerMin)
	}
	if l.Times > 0 {
		d *= l.Times
	}
	return time.Duration(d)
}

// Model is how a metastore behaves. The zero Model is no delay and no ceiling.
type Model struct {
	Name                        string
	Get, Query, Write, Transact Latency
	// Write units a second, one for each KiB of an item, two in a transaction, that a partition key and the table take. What
	// comes above is ErrThrottled. 0: no ceiling.
	KeyUnits, TableUnits float64
}

// DynamoDB is a table on demand that is new: 1,000 units a second of a partition key, 4,000 of the table. A transaction takes
// three times as long as a write; reads are taken to be as slow as writes, for want of a figure of their own.
func DynamoDB() Model {
	const ms = time.Millisecond
	write := Latency{P50: 4 * ms, P99: 11 * ms, Straggler: 0.0002, StragglerMin: 50 * ms, StragglerMax: 200 * ms}
	transact := write
	transact.Times = 3
	return Model{Name: "dynamodb", Get: write, Query: write, Write: write, Transact: transact, KeyUnits: 1000, TableUnits: 4000}
}

// Named returns the model of a name; the empty name is DynamoDB.
func Named(name string) (Model, error) {
	if m := DynamoDB(); name == m.Name || name == "" {
		return m, nil
	}
	return Model{}, fmt.Errorf("model %q is none of dynamodb", name)
}
