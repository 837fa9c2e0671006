package kafka

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
)

// alterAgent sends one change of a config of a broker.
func (c *client) alterAgent(name, config string, op kmsg.IncrementalAlterConfigOp, value *string, validate bool) (int16, *string) {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version, req.ValidateOnly = 1, validate
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: config, Op: op, Value: value}},
	}}
	r := call[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0]
	return r.ErrorCode, r.ErrorMessage
}

// What operators ask for goes to the cluster room, and its refusals come back with their words.
func TestOperatorsAlterAgents(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	const set, remove, appends = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
	for _, e := range []struct {
		name, config string
		op           kmsg.IncrementalAlterConfigOp
		value        *string
		asked        string
		code         int16
		text         string
	}{
		{"2", "varve.drain", set, ptr("true"), "drain 2 true", 0, ""},
		{"2", "varve.drain", set, ptr("false"), "drain 2 false", 0, ""},
		{"2", "varve.drain", remove, nil, "drain 2 false", 0, ""},
		{"2", "varve.drain", set, nil, "drain 2 false", 0, ""},
		{"", "varve.move", set, ptr("3:b"), "move 3 to b", 0, ""},
		{"1", "varve.move", set, ptr("3:b:c"), "move 3 to b:c", 0, ""},
		{"1", "varve.move", remove, nil, "", 0, ""},
		{"", "varve.drain", set, ptr("true"), "", codeInvalidConfig, "varve.drain is of one agent"},
		{"2", "varve.drain", set, ptr("yes"), "", codeInvalidConfig, `"yes", want true or false`},
		{"2", "varve.drain", appends, ptr("true"), "", codeInvalidConfig, "no list"},
		{"1", "varve.move", set, ptr("b"), "", codeInvalidConfig, "want SLOT:AGENT, like 3:a1"},
		{"1", "varve.move", set, ptr("x:b"), "", codeInvalidConfig, "want SLOT:AGENT"},
		{"1", "varve.move", set, ptr("3:"), "", codeInvalidConfig, "want SLOT:AGENT"},
		{"1", "varve.agents", set, ptr("[]"), "", codeInvalidRequest, "it tells what the agents are"},
	} {
		w.node.forget()
		code, msg := c.alterAgent(e.name, e.config, e.op, e.value, true)
		says(t, "validate "+e.config, code, e.code, msg, e.text)
		if len(w.node.done()) > 0 {
			t.Errorf("%+v: only looked at, and done: %q", e, w.node.done())
		}
		code, msg = c.alterAgent(e.name, e.config, e.op, e.value, false)
		says(t, e.config, code, e.code, msg, e.text)
		if got := strings.Join(w.node.done(), ", "); got != e.asked {
			t.Errorf("%+v: asked for %q", e, got)
		}
	}
	w.node.refuseWith(fmt.Errorf("%w: agent b is being drained", cluster.ErrRefused))
	code, msg := c.alterAgent("1", "varve.move", set, ptr("3:b"), false)
	says(t, "refused", code, codeInvalidRequest, msg, "agent b is being drained")
}

// What operators look at is told of the agent that answers, once for each request, however it is named.
func TestOperatorsSeeSlotsAndAgents(t *testing.T) {
	w := newWorld(t, option{})
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	for _, name := range []string{"1", "1", "01", "2"} {
		req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{
			ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: name, ConfigNames: []string{"varve.slots", "varve.agents", "varve.drain", "varve.move"},
		})
	}
	resp := call[*kmsg.DescribeConfigsResponse](w.dial(), req)
	var slots []slotJSON
	var agents []agentJSON
	for i, r := range resp.Resources {
		for _, c := range r.Configs {
			long := c.Name == "varve.slots" || c.Name == "varve.agents"
			if told := c.Value != nil; told != (c.Name == "varve.drain" && i < 3 || long && i == 0) {
				t.Errorf("resource %d, %s: %v", i, c.Name, c.Value)
			}
			if c.ReadOnly != long {
				t.Errorf("%s is read-only: %v", c.Name, c.ReadOnly)
			}
			if i > 0 || !long {
				continue
			}
			into := any(&agents)
			if c.Name == "varve.slots" {
				into = &slots
			}
			if err := json.Unmarshal([]byte(*c.Value), into); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(slots) != testSlots || slots[3].Leader != testNode || slots[3].State != "open" || slots[3].Partitions != nil {
		t.Errorf("%+v", slots)
	}
	if len(agents) != 1 || agents[0].Agent != "a" || agents[0].State != "active" || agents[0].QuietMS != nil || !agents[0].Controller {
		t.Errorf("%+v", agents)
	}
	if n := slices.Index(w.node.done(), "report"); len(w.node.done()) != 1 || n != 0 {
		t.Errorf("the cluster room was asked %q", w.node.done())
	}
}

// The slots of a large cluster are a longer string than a Java client reads: its admin thread would end. So only who asks for
// them by name gets them.
func TestLongValuesAreForThoseWhoAskByName(t *testing.T) {
	w := newWorld(t, option{})
	w.node.change(func(v *fakeView) { v.Slots = append(v.Slots, make([]cluster.Leader, 400)...) })
	longest := func(names ...string) (n int) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version = 4
		req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1", ConfigNames: names})
		for _, c := range call[*kmsg.DescribeConfigsResponse](w.dial(), req).Resources[0].Configs {
			if c.Value != nil {
				n = max(n, len(*c.Value))
			}
		}
		return n
	}
	if n := longest(); n > 32767 {
		t.Errorf("who asks for everything gets a value of %d bytes", n)
	}
	if n := longest("varve.slots"); n < 40_000 {
		t.Errorf("who asks for the slots gets %d bytes", n)
	}
}
