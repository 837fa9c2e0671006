package fault_test

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/fault"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/storetest"
)

// The conformance suite finds every liar: it runs on each in a process of its own, which must fail.
func TestConformanceFindsLiars(t *testing.T) {
	const env = "VARVE_TEST_LIE"
	if n, err := strconv.Atoi(os.Getenv(env)); err == nil {
		storetest.Run(t, func(*testing.T) objstore.Store { return fault.Liar(mem.New(), fault.Lie(n)) })
		return
	}
	for _, lie := range append(fault.Lies(), 0) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestConformanceFindsLiars$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), env+"="+strconv.Itoa(int(lie)))
		out, err := cmd.CombinedOutput()
		if found := err != nil; found != (lie != 0) {
			t.Errorf("%v: %v\n%s", lie, err, out)
		}
	}
}
