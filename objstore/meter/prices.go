// Pure.

package meter

// Prices is one price list of an object store, in US dollars.
type Prices struct {
	Name  string // of the list, for reports
	Date  string // when the prices were looked up, yyyy-mm
	Class string // the storage class, which is the label "class" of varve_s3_requests_total

	Put, Get, List, Delete float64 // a request
	In, Out                float64 // a byte sent by Put, received by Get
	Storage                float64 // a GB (1e9 bytes) kept for a month; not charged here, for estimates
}

// S3Standard is S3 Standard in us-east-1, and what New takes for the zero Prices. Traffic within the region is free.
var S3Standard = Prices{
	Name: "S3 Standard, us-east-1", Date: "2026-11", Class: "standard",
	Put: 5e-6, Get: 0.4e-6, List: 5e-6,
	Storage: 0.023,
}

// S3Express is S3 Express One Zone in us-east-1, one bucket of one zone. All bytes are charged since 2025-04.
var S3Express = Prices{
	Name: "S3 Express One Zone, us-east-1", Date: "2026-11", Class: "express",
	Put: 1.13e-6, Get: 0.03e-6, List: 1.13e-6,
	In: 0.0032e-9, Out: 0.0006e-9,
	Storage: 0.11,
}

// request returns what one request costs.
func (p *Prices) request(op Op) float64 {
	return [numOps]float64{Put: p.Put, Get: p.Get, List: p.List, Delete: p.Delete}[op]
}

// bytes returns what a byte costs.
func (p *Prices) bytes(op Op) float64 {
	return [numOps]float64{Put: p.In, Get: p.Out}[op]
}

// billed reports whether requests with a result are charged: S3 does not charge for answers of 5xx. Some of those whose
// outcome is unknown were such answers and some were not, so that the sum is rather too high than too low.
func billed(r Result) bool { return r != Throttled }
