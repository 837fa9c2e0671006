//go:build e2e

package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// groupAdmins are the clients that administer groups. sarama has no call for the newer protocol's description.
func groupAdmins(t *testing.T) map[string]*obedient {
	t.Helper()
	all := map[string]*obedient{"Java": sharedJava(t)}
	start := func(label, program string, args ...string) {
		o, err := startObedient(label, program, args...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = o.in.Close() })
		all[label] = o
	}
	if err := install("goclients"); err != nil {
		t.Fatal(err)
	}
	for _, library := range []string{"franz-go", "sarama"} {
		start(library, filepath.Join("target", "goclients"), library)
	}
	return all
}

// TestGroupAdmin: what administrators' tools do with groups of both protocols, by the libraries that they are made of: list and describe them,
// look at offsets, move and forget those of a group without members, take out a static member, delete the group.
func TestGroupAdmin(t *testing.T) {
	t.Parallel() // as others that mostly wait
	a := newAgent(t, nil, append([]string{"dev", "--data", t.TempDir()}, quick()...)...)
	a.start(t)
	createTopic(t, a.addr, "adm", 2)
	for label, o := range groupAdmins(t) {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			administer(t, a.addr, "classic-"+label, o, kgo.InstanceID("i1"), kgo.SessionTimeout(time.Minute))
			if label != "sarama" {
				administer(t, a.addr, "newer-"+label, o, newer()...)
			}
		})
	}
}

// administer does all of it with a group of one member. A static one, which classic groups have, stays when it ends, and is taken out.
func administer(t *testing.T, addr, group string, o *obedient, opts ...kgo.Opt) {
	instance := map[bool]string{true: "i1", false: "~"}[strings.HasPrefix(group, "classic")]
	expect := func(want string, command ...string) {
		t.Helper()
		command[0] += " " + addr
		got := o.ask(t, strings.Join(command, " "))
		slices.Sort(got)
		if g := strings.Join(got, "; "); g != want {
			t.Errorf("%q is answered %q, want %q", command, g, want)
		}
	}
	member := dial(t, addr, append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics("adm"), kgo.DisableAutoCommit(),
	}, opts...)...)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	offsets := map[string]map[int32]kgo.EpochOffset{"adm": {0: {Epoch: -1, Offset: 5}, 1: {Epoch: -1, Offset: 6}}}
	for committed := false; !committed; time.Sleep(100 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal("the member does not commit")
		}
		member.CommitOffsetsSync(ctx, offsets, nil)
		committed = len(o.ask(t, "committed "+addr+" "+group+" adm")) == 2 && len(o.ask(t, "group "+addr+" "+group)) == 2
	}
	expect("Stable; "+instance+" 0,1", "group", group)
	expect("adm 0 5; adm 1 6", "committed", group, "adm")
	refuses := func(command ...string) {
		t.Helper()
		command[0] += " " + addr
		if answer, err := o.try(t, strings.Join(command, " ")); err == nil {
			t.Errorf("%q of a group with members is answered %q", command, answer)
		}
	}
	refuses("commit", group, "adm", "0", "1")
	refuses("uncommit", group, "adm", "0")
	refuses("forget", group)
	member.Close()
	if instance != "~" {
		expect("", "expel", group, instance)
	}
	expect("Empty", "group", group)
	expect("", "commit", group, "adm", "0", "1")
	expect("", "uncommit", group, "adm", "1")
	expect("adm 0 1", "committed", group, "adm")
	if names := o.ask(t, "groups "+addr); !slices.Contains(names, group) {
		t.Errorf("groups are %q", names)
	}
	expect("", "forget", group)
	if names := o.ask(t, "groups "+addr); slices.Contains(names, group) {
		t.Errorf("groups are %q", names)
	}
	expect("", "committed", group, "adm")
}
