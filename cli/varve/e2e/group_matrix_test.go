//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/localstack/servers"
)

const (
	groupPartitions = 6
	groupSession    = 6 * time.Second
	staticSession   = time.Minute      // a process may take long to start
	groupPatience   = 60 * time.Second // for what a group must come to
)

// groupRun is a library with one strategy on one cluster: its topic, its group, its members.
type groupRun struct {
	groupLibrary
	strategy string
	seeds    []string
	load     *load
	seen     *readings
	watched  func() (looks, back int)
	members  []*memberProcess
	drops    int // records that members may have dropped
	found    *groupFinding
	failed   error
}

func (r *groupRun) name() string { return strings.ReplaceAll(r.label, " ", "-") + "-" + r.strategy }

// TestGroupMatrix: members of each library come, go, crash and come back while a producer writes; then an agent is killed and all are
// restarted in turn. Every acked record is read by somebody, what the group committed reaches the end and never goes back. The gate runs kcat,
// franz-go and Java with one strategy each, and the newer protocol, on three agents; VARVE_FULL=1 all libraries with all their strategies, and
// those three on the other pairs of stores, on one agent each. VARVE_GROUPS names one library.
func TestGroupMatrix(t *testing.T) {
	t.Parallel()
	report := newGroupReport()
	for _, s := range pairs() {
		if s.name != allClientsOn && !servers.Full() {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			var agents []*agent
			if s.name == allClientsOn {
				agents = newFleet(t, 3, quick()...).agents
			} else {
				a := s.open(t)
				a.args = append(a.args, quick()...)
				a.start(t)
				agents = []*agent{a}
			}
			for batch := range slices.Chunk(groupRuns(agents, s.name, report), 6) { // more at once is too much for a small machine
				playGroups(t, agents, batch)
			}
			for _, f := range report.rows {
				f.passedOn(s.name)
			}
		})
	}
	report.settle(t)
}

// groupRuns are those of one pair of stores. The gate meets one strategy of each library there, and the newer protocol.
func groupRuns(agents []*agent, pair string, report *groupReport) (runs []*groupRun) {
	seeds := (&fleet{agents: agents}).seeds()
	for i, l := range groupLibraries() {
		if only := os.Getenv("VARVE_GROUPS"); only != "" && only != l.label || !l.gate && (!servers.Full() || pair != allClientsOn) {
			continue
		}
		for j, strategy := range l.strategies {
			if !servers.Full() && strategy != newerProtocol && (i+j+len(agents))%2 == 0 {
				continue
			}
			runs = append(runs, &groupRun{groupLibrary: l, strategy: strategy, seeds: seeds, seen: &readings{all: map[int32]map[int64]bool{}}, found: report.of(l)})
		}
	}
	return runs
}

// playGroups plays all runs at once on one cluster.
func playGroups(t *testing.T, agents []*agent, runs []*groupRun) {
	for _, r := range runs {
		createTopic(t, agents[0].addr, r.name(), groupPartitions)
		r.load = startLoadEvery(t, 20*time.Millisecond, agents[0].addr, r.name(), groupPartitions, kgo.SeedBrokers(r.seeds...),
			kgo.ProducerBatchCompression(kgo.NoCompression())) // kafkajs knows none but gzip
		r.watched = committedNeverBack(t, r.seeds, r.name())
	}
	t.Cleanup(func() {
		for _, r := range runs {
			for _, m := range r.members {
				m.crash()
			}
		}
	})
	together(runs, (*groupRun).comeAndGo)
	before := changesOf(runs)
	if len(agents) > 1 {
		a := agents[1]
		a.kill(t)
		together(runs, (*groupRun).catchUp)
		a.start(t)
	} else {
		agents[0].kill(t)
		agents[0].start(t)
	}
	together(runs, (*groupRun).catchUp)
	markAll(runs, "kill")
	killed := changesOf(runs)
	for _, a := range agents {
		a.stop(t)
		a.start(t)
		time.Sleep(2 * time.Second)
	}
	together(runs, (*groupRun).catchUp)
	markAll(runs, "roll")
	for i, r := range runs {
		t.Logf("%s: partitions came or went %d times after a kill, %d times in a rolling restart", r.name(), killed[i]-before[i], changesOf(runs)[i]-killed[i])
	}
	for _, r := range runs {
		r.load.finish(t)
	}
	together(runs, (*groupRun).finish)
	for _, r := range runs {
		t.Run(r.name(), func(t *testing.T) { r.check(t) })
	}
}

// together has all runs that have not failed do the same at once.
func together(runs []*groupRun, do func(*groupRun) error) {
	var wg sync.WaitGroup
	for _, r := range runs {
		if r.failed == nil {
			wg.Go(func() { r.failed = do(r) })
		}
	}
	wg.Wait()
}

func markAll(runs []*groupRun, cell string) {
	for _, r := range runs {
		if r.failed == nil {
			r.found.passed(cell)
		}
	}
}

func changesOf(runs []*groupRun) (all []int) {
	for _, r := range runs {
		n := 0
		for _, m := range r.members {
			_, changes := m.now()
			n += changes
		}
		all = append(all, n)
	}
	return all
}

func (r *groupRun) join(instance string) (*memberProcess, error) {
	session := groupSession
	if instance != "" {
		session = staticSession
	}
	m, err := startMember(r.groupLibrary, memberOf{r.seeds, r.name(), r.name(), r.strategy, instance, session}, r.seen)
	if err == nil {
		r.members = append(r.members, m)
	}
	return m, err
}

func (r *groupRun) drop(m *memberProcess) {
	r.members = slices.DeleteFunc(r.members, func(o *memberProcess) bool { return o == m })
}

// shared waits until the members have all partitions, each of them some, none of them two.
func (r *groupRun) shared(when string) error {
	for deadline := time.Now().Add(groupPatience); ; time.Sleep(20 * time.Millisecond) {
		var all []int32
		each := true
		for _, m := range r.members {
			has, _ := m.now()
			each = each && len(has) > 0
			all = append(all, has...)
		}
		slices.Sort(all)
		if each && len(all) == groupPartitions && len(slices.Compact(slices.Clone(all))) == groupPartitions {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d members have %v after %v", when, len(r.members), all, groupPatience)
		}
	}
}

// comeAndGo: one member has all, two share, one leaves, one crashes, a static one comes back before anybody notices.
func (r *groupRun) comeAndGo() error {
	if _, err := r.join(""); err != nil {
		return err
	}
	if err := r.shared("the first joined"); err != nil {
		return err
	}
	for _, end := range []struct {
		cell string
		how  func(*memberProcess) error
	}{
		{"leave", r.leave},
		{"crash", func(m *memberProcess) error { m.crash(); return nil }},
	} {
		m, err := r.join("")
		if err != nil {
			return err
		}
		if err := r.shared("another joined"); err != nil {
			return err
		}
		r.found.passed("join")
		r.drop(m)
		if err := end.how(m); err != nil {
			return fmt.Errorf("%s: %w", end.cell, err)
		}
		if err := r.shared("one ended: " + end.cell); err != nil {
			return err
		}
		r.found.passed(end.cell)
	}
	return r.comeBack()
}

// comeBack has a static member crash and come back: it has what it had, and the other does not notice. In the newer protocol one that crashed
// is refused until its session ends (UNRELEASED_INSTANCE_ID); there it leaves, for a while.
func (r *groupRun) comeBack() error {
	instance, end := "", func(m *memberProcess) error { m.crash(); return nil }
	if r.static {
		instance = "the-static-one"
	}
	if r.static && r.strategy == newerProtocol {
		end = r.leave
		if err := r.keepPlaces(); err != nil {
			return err
		}
	}
	m, err := r.join(instance)
	if err != nil {
		return err
	}
	if err := r.shared("the last joined"); err != nil || !r.static {
		return err
	}
	had, _ := m.now()
	_, before := r.members[0].now()
	r.drop(m)
	if err := end(m); err != nil {
		return fmt.Errorf("the static one leaves: %w", err)
	}
	if m, err = r.join(instance); err != nil {
		return err
	}
	if err := r.shared("the static one came back"); err != nil {
		return err
	}
	has, _ := m.now()
	if _, after := r.members[0].now(); after != before || !slices.Equal(has, had) {
		return fmt.Errorf("the static member had %v, has %v; the other one's partitions changed %d times", had, has, after-before)
	}
	r.found.passed("static")
	return nil
}

// keepPlaces has the coordinator wait for members as long as staticSession: those of the newer protocol do not say how long.
func (r *groupRun) keepPlaces() error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.seeds...))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	found := kadm.NewClient(cl).FindGroupCoordinators(ctx, r.name())[r.name()]
	if found.Err != nil {
		return found.Err
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: r.name(),
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{
			Name: "consumer.session.timeout.ms", Value: kmsg.StringPtr(fmt.Sprint(staticSession.Milliseconds())),
		}},
	}}
	told, err := req.RequestWith(ctx, cl.Broker(int(found.NodeID))) // whoever is asked knows it at once, others some seconds later
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(told.Resources[0].ErrorCode)
}

// catchUp waits until what the group committed is past the ends of now.
func (r *groupRun) catchUp() error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.seeds...))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	var ends kadm.ListedOffsets
	for deadline := time.Now().Add(groupPatience); ; time.Sleep(50 * time.Millisecond) {
		behind := fmt.Sprint("no ends: ", err)
		if ends == nil {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if ends, err = adm.ListEndOffsets(ctx, r.name()); err != nil || ends.Error() != nil {
				ends = nil
			}
			cancel()
		}
		if ends != nil {
			if behind = r.behind(adm, ends); behind == "" {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the group does not catch up within %v: %s; its coordinator is %s", groupPatience, behind, r.coordinator())
		}
	}
}

// coordinator is what a client that knows nothing is told.
func (r *groupRun) coordinator() string {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.seeds...))
	if err != nil {
		return err.Error()
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found := kadm.NewClient(cl).FindGroupCoordinators(ctx, r.name())[r.name()]
	return fmt.Sprintf("node %d, port %d, %v", found.NodeID, found.Port, found.Err)
}

// behind says which partition's committed offset is below its end.
func (r *groupRun) behind(adm *kadm.Client, ends kadm.ListedOffsets) (which string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	offsets, err := adm.FetchOffsets(ctx, r.name())
	if err != nil {
		return err.Error()
	}
	ends.Each(func(end kadm.ListedOffset) {
		if o, ok := offsets.Lookup(end.Topic, end.Partition); end.Offset > 0 && (!ok || o.At < end.Offset) {
			which = fmt.Sprintf("partition %d: committed %d of %d", end.Partition, o.At, end.Offset)
		}
	})
	return which
}

// finish: all is read and committed, and the members leave.
func (r *groupRun) finish() error {
	if err := r.catchUp(); err != nil {
		return err
	}
	for _, m := range slices.Clone(r.members) {
		r.drop(m)
		if err := r.leave(m); err != nil {
			return fmt.Errorf("leave at the end: %w", err)
		}
	}
	return nil
}

// leave ends a member that says so.
func (r *groupRun) leave(m *memberProcess) error {
	err := m.leave()
	if m.kind.signal {
		r.drops++
	}
	return err
}

// check compares what was read with what was acked.
func (r *groupRun) check(t *testing.T) {
	looks, back := r.watched()
	if r.failed != nil {
		r.found.fail()
		for _, m := range r.members {
			t.Logf("a member said:\n%s", m.story())
		}
		t.Fatal(r.failed)
	}
	if back > 0 || looks == 0 {
		t.Errorf("%d looks at the offsets, %d times one went back", looks, back)
	}
	var missing []string
	r.load.mu.Lock()
	defer r.load.mu.Unlock()
	for p, acks := range r.load.acked {
		for _, a := range acks {
			if !r.seen.all[int32(p)][a.offset] {
				missing = append(missing, fmt.Sprintf("%d of partition %d", a.offset, p))
			}
		}
	}
	if len(missing) > r.drops {
		t.Errorf("%d acked records were read by nobody: %.200q", len(missing), missing)
	}
	if t.Failed() {
		r.found.fail()
	}
}
