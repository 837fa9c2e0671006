package meta

import (
	"context"
	"testing"
)

func TestSoundClusterIsClean(t *testing.T) {
	r := newRig(t)
	r.clean()
	if got, err := r.tool().Check(context.Background(), true); err != nil || got.Live || got.Sessions != 1 || got.Parts != 2 || got.Topics != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
