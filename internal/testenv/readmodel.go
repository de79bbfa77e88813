package testenv

import (
	"testing"
	"time"

	"outlink/internal/node"
	"outlink/internal/readmodel"
	"outlink/projections"
)

// Advanced waits until all projections have come past a sequence, and returns where
// the last of them is. Another process projects.
func Advanced(t testing.TB, store node.Store, past uint64) uint64 {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		positions, err := store.Positions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if lowest := min(positions[0].Sequence, positions[1].Sequence); lowest > past {
			return lowest
		}
	}
	t.Fatalf("the projections do not come past %d", past)
	return 0
}

// Verified compares the first generations of all projections with the log, up to
// their checkpoints.
func Verified(t testing.TB, k readmodel.Keeper) {
	t.Helper()
	for _, p := range projections.All() {
		differs, _, err := k.Verify(t.Context(), p, projections.FirstGeneration, func(d projections.Difference) { t.Errorf("%s", d.Stored) })
		if err != nil || differs > 0 {
			t.Fatalf("%d rows of %s differ, error %v", differs, p.Name, err)
		}
	}
}
