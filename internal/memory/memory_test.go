package memory

import (
	"math"
	"os"
	"runtime/debug"
	"testing"
)

// TestUse: what the environment says stays, and the rest is set.
func TestUse(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) })

	t.Setenv("GOMEMLIMIT", "off")
	Use(func(string) string { return "100" })
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC=100, and the heap grows by %d percent", got)
	}
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("GOMEMLIMIT=off, and the limit is %d", got)
	}
}

// TestUseOfAllThereIs: without a word in the environment there is a limit, and
// below it fewer collections.
func TestUseOfAllThereIs(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) })

	t.Setenv("GOMEMLIMIT", "") // to be put back
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		t.Fatal(err)
	}
	Use(func(string) string { return "" })
	if got := debug.SetGCPercent(100); got != growth {
		t.Errorf("the heap grows by %d percent", got)
	}
	if got := debug.SetMemoryLimit(-1); got == math.MaxInt64 || got < 64<<20 {
		t.Errorf("the limit is %d bytes", got)
	}
}
