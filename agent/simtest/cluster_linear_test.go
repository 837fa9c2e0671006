package simtest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// look is one fetch of a partition: at some moment between its call and its return the log held offset.
type look struct {
	tp
	reader       int
	call, answer time.Duration // since the begin of the run
	offset       int64         // the last one that came
	value        string
}

// operation is what happens to one partition at one moment: a record is appended at an offset, or seen there.
type operation struct {
	append bool
	offset int64
	value  string
}

// linear describes one partition, whose log at the end is known: its state is how long it is. A look may find less than there is, because a
// leader that was fenced and does not know it yet may show a committed prefix; it never finds more, or something else.
func linear(log []seenRecord) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, _ any) (bool, any) {
			length, op := state.(int), input.(operation)
			switch {
			case op.offset >= int64(len(log)) || log[op.offset].value != op.value:
				return false, length
			case op.append:
				return op.offset == int64(length), length + 1
			}
			return op.offset < int64(length), length
		},
		DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
	}
}

// checkLinear asks porcupine whether each partition's appends and looks happened at single moments, one after another. An append
// without an answer may happen at any time after it was sent, if it is in the log at all.
func (h *history) checkLinear() {
	clients := map[string]int{}
	number := func(name string) int {
		if _, ok := clients[name]; !ok {
			clients[name] = len(clients)
		}
		return clients[name]
	}
	ops := map[tp][]porcupine.Operation{}
	at := map[string]int64{}
	for _, log := range h.final {
		for _, r := range log {
			at[r.value] = r.offset
		}
	}
	for _, x := range h.sends {
		offset, there := at[x.value]
		if !there {
			continue // of an acked one, check speaks
		}
		op := porcupine.Operation{ClientId: number(x.producer), Call: int64(x.called), Return: math.MaxInt64, Input: operation{true, offset, x.value}}
		if x.acked > 0 {
			op.Return = int64(x.acked)
			op.Input = operation{true, x.offset, x.value}
		}
		ops[x.tp] = append(ops[x.tp], op)
	}
	for _, l := range h.looks {
		ops[l.tp] = append(ops[l.tp], porcupine.Operation{ClientId: 1000 + l.reader, Call: int64(l.call), Return: int64(l.answer), Input: operation{false, l.offset, l.value}})
	}
	for p, log := range h.final {
		if !porcupine.CheckOperations(linear(log), ops[p]) {
			h.s.violation("V1: %v: %d appends and looks are not linearizable", p, len(ops[p]))
		}
	}
}

// The checker has teeth: a history in which a record that was acked first stands behind one that was sent later is refused, one in
// which both were under way at once is not.
func TestLinearFindsFaults(t *testing.T) {
	log := []seenRecord{{offset: 0, value: "x"}, {offset: 1, value: "y"}}
	history := func(firstAck int64, seen int64) []porcupine.Operation {
		return []porcupine.Operation{
			{ClientId: 0, Call: 10, Return: firstAck, Input: operation{true, 1, "y"}},
			{ClientId: 1, Call: 20, Return: 30, Input: operation{true, 0, "x"}},
			{ClientId: 2, Call: 0, Return: seen, Input: operation{false, 0, "x"}},
		}
	}
	for _, c := range []struct {
		firstAck, seen int64
		want           bool
	}{{25, 40, true}, {25, 19, false}, {15, 40, false}} {
		if got := porcupine.CheckOperations(linear(log), history(c.firstAck, c.seen)); got != c.want {
			t.Errorf("acked at %d, seen at %d: linearizable %v", c.firstAck, c.seen, got)
		}
	}
}
