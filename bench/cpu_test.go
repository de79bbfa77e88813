package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// work is the processor time that this process and the database server have
// used: on a machine that others use too it says more than the time on the wall.
type work struct{ client, server time.Duration }

func worked(b *testing.B) work {
	b.Helper()
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		b.Fatal(err)
	}
	w := work{client: time.Duration(own.Utime.Nano() + own.Stime.Nano())}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(stat), "(postgres)") {
			continue // it ended meanwhile, or is another
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		for _, field := range strings.Fields(rest)[11:15] { // utime, stime, and those of children that ended: proc(5)
			ticks, _ := strconv.ParseInt(field, 10, 64)
			w.server += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ
		}
	}
	return w
}

func (w work) since(before work) work {
	return work{w.client - before.client, w.server - before.server}
}

// report says what an event took of either.
func (w work) report(b *testing.B, events int) {
	b.ReportMetric(float64(w.client.Microseconds())/float64(events), "client-µs/event")
	b.ReportMetric(float64(w.server.Microseconds())/float64(events), "server-µs/event")
}
