package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/objstore"
)

// TestCheckOfMergedSegments: small segments become one, and verify and check find nothing wrong with that. The merged one is lost: it is found, what is
// printed is run, and every record is there again, out of what it was made of, which waits for its deletion.
func TestCheckOfMergedSegments(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, "kcat", "dev", "--data", data, "--topics", "t:1", "--pack-interval", "50ms", "--segment-roll", "100ms")
	sh, store := s.shell(), stores(data)[:2]
	keys := objstore.Keys{Cluster: "varve"}
	var merged []string
	for deadline := time.Now().Add(time.Minute); len(merged) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is merged")
		}
		sh.ok("a\nb\n", "produce", "t")
		for _, key := range keysIn(sh.ok("", append([]string{"segment", "list", "t", "-o", "jsonl"}, store...)...)) {
			if p, err := keys.Parse(key); err != nil {
				t.Fatal(err)
			} else if p.Merged() {
				merged = append(merged, key)
			}
		}
	}
	want := sh.lines("t")
	s.stop()
	sh = &shell{t: t, env: map[string]string{}}
	if got := sh.ok("", append([]string{"segment", "verify", "t", "--deep"}, store...)...); !strings.Contains(got, merged[0]) {
		t.Errorf("verify leaves out %s:\n%s", merged[0], got)
	}
	check := append([]string{"meta", "check", "--deep", "-o", "json"}, stores(data)...)
	sh.ok("", check...)
	if err := os.Remove(filepath.Join(data, devObjects, filepath.FromSlash(merged[0]))); err != nil {
		t.Fatal(err)
	}
	r := sh.run("", check...)
	var got struct {
		Findings []struct{ Class, Where, Fix string }
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitFailed || len(got.Findings) != 1 || got.Findings[0].Class != "missing-segment" || got.Findings[0].Where != merged[0] {
		t.Fatalf("exit %d, %v\n%s%s", r.code, err, r.out, r.err)
	}
	sh.ok("", words(t, got.Findings[0].Fix)[1:]...)
	sh.ok("", check...)
	sh.ok("", append([]string{"segment", "verify", "t", "--deep"}, store...)...)
	s = start(t, "kcat", "dev", "--data", data)
	if got := s.shell().lines("t"); got != want {
		t.Errorf("after the repair:\n%s\nbefore:\n%s", got, want)
	}
}
