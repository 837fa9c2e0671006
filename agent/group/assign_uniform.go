// Pure.

package group

// even assigns when all members subscribe to the same topics. Nobody has more than one partition more than anybody else. A member keeps
// what it had up to its share; what is left is given out in order, so that members get runs of neighbours, whose offsets stand in
// the same pages.
func (b *board) even() {
	members := len(b.spec.Members)
	share, extras := len(b.owner)/members, len(b.owner)%members
	load := make([]int, members)
	for m := range members {
		member := &b.spec.Members[m]
		b.had(member, func(at int32) bool {
			switch {
			case b.owner[at] != nobody:
				return true
			case load[m] < share:
			case load[m] == share && extras > 0:
				extras--
			default:
				return false
			}
			b.owner[at] = int32(m)
			load[m]++
			return true
		})
	}
	next := 0
	for m := range members {
		want := share
		if load[m] <= share && extras > 0 {
			want++
			extras--
		}
		for ; load[m] < want; next++ {
			if b.owner[next] == nobody {
				b.owner[next] = int32(m)
				load[m]++
			}
		}
	}
}
