package mem

import (
	"testing"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) metastore.Store { return New() })
}
