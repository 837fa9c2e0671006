// Pure.

package topic

import "fmt"

// hint is the end of an error about a name that nobody knows: the name in the tables that was probably meant, or how to see
// them all.
func hint(name, list string, tables ...[]def) string {
	if n := nearest(name, tables...); n != "" {
		return "did you mean " + n + "?"
	}
	return fmt.Sprintf("%s lists them all", list)
}

// nearest returns the shown name that is the fewest edits away from name, empty if none is near: more than a third of the
// name wrong is another name.
func nearest(name string, tables ...[]def) string {
	name = name[:min(len(name), 100)]
	best, at := len(name)/3+1, ""
	for _, table := range tables {
		for i := range table {
			if table[i].effect == internal {
				continue
			}
			if d := distance(name, table[i].name); d < best {
				best, at = d, table[i].name
			}
		}
	}
	return at
}

// distance is how many bytes to insert, remove or change turn a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
