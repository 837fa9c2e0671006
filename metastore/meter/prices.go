// Pure.

package meter

// Prices are what DynamoDB charges on demand. A user may replace them.
type Prices struct {
	Date         string  // of the list, YYYY-MM-DD
	Region       string  // it holds for
	WriteMillion float64 // dollars per million write units
	ReadMillion  float64 // dollars per million read units
}

// ListPrices are the on-demand prices of the standard table class in us-east-1 since 2024-11-01.
func ListPrices() Prices {
	return Prices{Date: "2024-11-01", Region: "us-east-1", WriteMillion: 0.625, ReadMillion: 0.125}
}

// Units in bytes, from the developer guide: "read/write capacity mode".
const (
	writeUnit = 1 << 10
	readUnit  = 4 << 10
)

// writeUnits is what a write is charged for that finds an item of old bytes and leaves one of new bytes, keys included.
func writeUnits(old, new int) float64 { return ceil(max(old, new), writeUnit) }

// readUnits is what a read of size bytes is charged for; eventual ones cost half.
func readUnits(size int, consistent bool) float64 {
	u := ceil(size, readUnit)
	if !consistent {
		u /= 2
	}
	return u
}

// ceil is size in started units, at least one.
func ceil(size, unit int) float64 { return float64(max(1, (size+unit-1)/unit)) }
