// Package memory trades memory for processor time, as a server may that has a
// machine or a container to itself.
package memory

import (
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// growth is by how many percent the heap grows between two collections, where Go
	// would say 100. Most of what a projector allocates is garbage a moment later:
	// a sixth of its time went into looking for what is not (bench/README.md).
	growth = 300

	// share is how much of the memory there is the process uses before it collects
	// more often than that.
	share = 0.8
)

// Use sets both, but for what the environment says: GOGC and GOMEMLIMIT, as the
// package runtime describes them. How much memory there is, the control group
// says, or the system. It never fails: where nobody knows, there is no limit.
func Use(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(growth)
	}
	_, _ = memlimit.Set(memlimit.WithRatio(share), memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)))
}
