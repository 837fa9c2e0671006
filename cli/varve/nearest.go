// Pure.

package main

// nearest returns the word most like s, empty if none is near enough to be what was meant.
func nearest(s string, words []string) string {
	best, bestDistance := "", len(s)/2+1
	for _, w := range words {
		if d := distance(s, w); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	return best
}

// didYouMean is a hint to append to an error, empty if no word is near.
func didYouMean(s string, words []string, prefix string) string {
	if w := nearest(s, words); w != "" {
		return "; did you mean " + prefix + w + "?"
	}
	return ""
}

// distance is how many bytes to insert, remove, change or swap with the next turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
