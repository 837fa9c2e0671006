//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
)

// topics makes, lists, describes and deletes topics with a library's own admin calls. What it makes stays for configs.
func (c lineClient) topics(t *testing.T, addr, topic string) string {
	create := fmt.Sprintf("create %s %s %d", addr, topic, matrixPartitions)
	c.ask(t, create)
	if got := c.ask(t, "describe "+addr+" "+topic); len(got) != 1 || got[0] != fmt.Sprint(matrixPartitions) {
		t.Errorf("describe: %q, want %d", got, matrixPartitions)
	}
	if _, err := c.try(t, create); err == nil {
		t.Error("the same topic again: no error")
	} else {
		t.Logf("the same topic again: %.120v", err)
	}
	if got := c.ask(t, "list "+addr); !slices.Contains(got, topic) {
		t.Errorf("list: %q, without %s", got, topic)
	}
	c.ask(t, "create "+addr+" "+topic+"-gone 1")
	c.ask(t, "delete "+addr+" "+topic+"-gone")
	if got := topicNames(t, addr); slices.Contains(got, topic+"-gone") {
		t.Error("a deleted topic is still there")
	}
	if _, err := c.try(t, "delete "+addr+" "+topic+"-gone"); err == nil {
		t.Error("deleting it again: no error")
	}
	return ""
}

func (c lineClient) configs(t *testing.T, addr, topic string) string {
	read := func(name, want string) {
		if got := c.ask(t, "config "+addr+" "+topic+" "+name); len(got) != 1 || got[0] != want {
			t.Errorf("config %s: %q, want %q", name, got, want)
		}
	}
	read("cleanup.policy", "delete")
	c.ask(t, "alter "+addr+" "+topic+" retention.ms 123456789")
	read("retention.ms", "123456789")
	if _, err := c.try(t, "alter "+addr+" "+topic+" retention.ms soon"); err == nil {
		t.Error("a wrong value: no error")
	}
	return ""
}

// writable leaves out what the library refuses, and sees it refuse one of each kind.
func (c lineClient) writable(t *testing.T, addr, topic string, records []record) ([]record, []string) {
	t.Helper()
	if c.cannot == nil {
		return records, nil
	}
	var can []record
	var reasons []string
	for _, r := range records {
		why := c.cannot(r)
		if why == "" {
			can = append(can, r)
			continue
		}
		if slices.Contains(reasons, why) {
			continue
		}
		reasons = append(reasons, why)
		if _, err := c.tryProduce(t, addr, topic, "none", []record{r}, c.properties...); err == nil {
			t.Errorf("%s: it was written, the table says: %s", c.library.label, why)
		}
	}
	return can, reasons
}

// readable blurs records as the library does.
func (c lineClient) readable(records []record) ([]record, string) {
	if c.blurs == nil {
		return records, ""
	}
	out := slices.Clone(records)
	for i := range out {
		c.blurs(&out[i])
	}
	return out, c.blurred
}
