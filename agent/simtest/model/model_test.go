package main

import (
	"io"
	"testing"
)

// The log's second life is clean within bounds a test can afford, and each of its rules is needed.
func TestLife(t *testing.T) {
	for _, name := range []string{"one", "pair", "heir", "linked", "join", "joingone", "joinqueue"} {
		if bad := runLife(io.Discard, 1_000_000, name); bad > 0 {
			runLife(t.Output(), 1_000_000, name)
			t.Error(name)
		}
	}
	if missed := runLifeMutants(io.Discard, "", 1_000_000, 0, false); missed > 0 {
		t.Errorf("%d mutants are not caught", missed)
	}
}

// The design is clean within bounds a test can afford.
func TestDesign(t *testing.T) {
	for _, name := range []string{"live", "start", "beat"} {
		m := &Model{Cfg: config(name)}
		if r := m.BFS(3_000_000, 0, true); r.Bad != "" || !r.Complete {
			t.Errorf("%s: %q, complete %v", name, r.Bad, r.Complete)
		}
	}
	for _, name := range []string{"deep", "deep1", "deept"} {
		m := &Model{Cfg: config(name)}
		if r := m.Walk(1, 3000, 150, 0); r.Bad != "" {
			t.Errorf("%s, seed %d: %s", name, r.Seeds, r.Bad)
		}
	}
}

// Every rule is needed: without it something is lost. The exceptions are named.
func TestMutants(t *testing.T) {
	free := map[string]bool{"trim while not ACTIVE": true} // a second belt: nothing else lets it move then
	for _, x := range append(append([]Mutant{}, asWritten...), mutants...) {
		m := &Model{Cfg: config(x.Cfg), Drop: x.Drop}
		m.Drop.LossOnly = true
		r := m.BFS(1_600_000, 0, x.Graph)
		for _, deep := range []string{"deep1", "deep"} {
			if r.Bad == "" && !free[x.Name] {
				m.Cfg = config(deep)
				r = m.Walk(1, 20000, 150, 0)
			}
		}
		if r.Bad == "" && !free[x.Name] {
			t.Errorf("not caught: %s", x.Name)
		}
	}
}
