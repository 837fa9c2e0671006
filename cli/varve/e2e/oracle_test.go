//go:build e2e && oracle

package e2e

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// explained is a difference from Kafka that is meant, or cannot be otherwise. Step and field are patterns (path.Match); kafka and varve are
// what each answers, "*" for anything.
type explained struct{ step, field, kafka, varve, why string }

// TestOracle plays one script of requests, as they come in groups, against a real Kafka and against Varve, and compares the answers field by
// field. Every difference stands in oracleDifferences with its reason, and whatever stands there is a difference. Both transcripts stay in
// target/.
func TestOracle(t *testing.T) {
	a := newAgent(t, nil, "dev", "--data", t.TempDir())
	a.start(t)
	kafka, varve := playOracle(t, startKafka(t), "kafka"), playOracle(t, a.addr, "varve")
	used := map[explained]int{}
	count := 0
	for i, k := range kafka.steps {
		if i >= len(varve.steps) || varve.steps[i].name != k.name {
			t.Fatalf("step %d of the script is %q at Kafka alone", i, k.name)
		}
		for _, d := range differences(k, varve.steps[i]) {
			count++
			if e := slices.IndexFunc(oracleDifferences, d.is); e >= 0 {
				used[oracleDifferences[e]]++
			} else {
				t.Errorf("%-40s %-40s Kafka %-30s Varve %s", d.step, d.field, d.kafka, d.varve)
			}
		}
	}
	t.Logf("%d answers; %d fields differ, %d of them explained", len(kafka.steps), count, sum(used))
	for _, e := range oracleDifferences {
		if used[e] == 0 && os.Getenv("VARVE_ORACLE_ONLY") == "" {
			t.Errorf("no difference any more: %+v", e)
		}
	}
}

func sum(counts map[explained]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// playOracle plays the script against a server; VARVE_ORACLE_ONLY names a part of it.
func playOracle(t *testing.T, addr, name string) *player {
	t.Helper()
	p := newPlayer(t, addr)
	createTopic(t, addr, oracleTopic, oraclePartitions)
	createTopic(t, addr, oracleOther, 1)
	p.awaitCoordinator()
	for _, part := range oracleScript {
		if only := os.Getenv("VARVE_ORACLE_ONLY"); only == "" || only == part.name {
			p.ids = nil
			part.play(p)
		}
	}
	if err := os.WriteFile(filepath.Join("target", "oracle-"+name+".txt"), []byte(p.transcript()), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// differences are the fields of a step that differ; one that a server does not have is "-" there.
func differences(kafka, varve step) (all []explained) {
	at := func(s step, path string) string {
		if i := slices.IndexFunc(s.fields, func(f field) bool { return f.path == path }); i >= 0 {
			return s.fields[i].value
		}
		return "-"
	}
	for _, f := range kafka.fields {
		if v := at(varve, f.path); v != f.value {
			all = append(all, explained{kafka.name, f.path, f.value, v, ""})
		}
	}
	for _, f := range varve.fields {
		if at(kafka, f.path) == "-" {
			all = append(all, explained{kafka.name, f.path, "-", f.value, ""})
		}
	}
	return all
}

// is reports whether a difference is the one that e explains.
func (d explained) is(e explained) bool {
	for _, pair := range [][2]string{{e.step, d.step}, {e.field, d.field}, {e.kafka, d.kafka}, {e.varve, d.varve}} {
		if ok, err := path.Match(pair[0], strings.ReplaceAll(pair[1], "/", "|")); err != nil || !ok {
			return false
		}
	}
	return true
}
