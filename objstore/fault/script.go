package fault

import (
	"strings"
	"sync"
)

// Step is one line of a script: what happens to the Nth call, counted from 1, of Op whose key contains Part. With N zero it
// happens to each of them.
type Step struct {
	Op   Op
	Part string
	N    int
	Action
}

// Script returns a Plan.Hook. Each call is counted by all steps that it fits; the first of those that are due decides. The
// rates of the plan decide about calls for which no step is due.
//
//	fault.Script(fault.Step{Op: fault.Put, Part: "/w/", N: 3, Action: fault.Action{Do: fault.Late, After: time.Minute}})
func Script(steps ...Step) func(Op, string) Action {
	var mu sync.Mutex
	calls := make([]int, len(steps))
	return func(op Op, key string) (act Action) {
		mu.Lock()
		defer mu.Unlock()
		decided := false
		for i, s := range steps {
			if s.Op != op || !strings.Contains(key, s.Part) {
				continue
			}
			calls[i]++
			if !decided && (s.N == 0 || s.N == calls[i]) {
				act, decided = s.Action, true
			}
		}
		return act
	}
}
