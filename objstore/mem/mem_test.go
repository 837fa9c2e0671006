package mem_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return mem.New() })
}

// The suite again on reserved memory, which is too little for all of it.
func TestReservedConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return mem.NewReserved(4 << 20) })
}
