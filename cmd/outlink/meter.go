package main

import (
	"fmt"
	"sync"
	"time"

	"outlink/internal/readmodel"
)

// meters are the lines about several rebuilds at once.
type meters struct {
	mu  sync.Mutex
	all []meter
}

func newMeters(plans []readmodel.Plan) *meters {
	m := new(meters)
	for _, p := range plans {
		m.all = append(m.all, meter{plan: p})
	}
	return m
}

// line is what to print about a rebuild, or nothing.
func (m *meters) line(i, pass int, at uint64, now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[i].report(pass, at, now)
}

// meter tells how fast a rebuild is and when it will be done. It counts from its
// first report: one that was resumed does not begin at zero.
type meter struct {
	plan  readmodel.Plan
	since time.Time
	first uint64
	said  time.Time
}

// rarely is how often a line is printed.
const rarely = 5 * time.Second

// report is a line now and then.
func (m *meter) report(pass int, at uint64, now time.Time) string {
	line := m.line(pass, at, now)
	if m.said.IsZero() {
		m.said = now
	}
	if now.Sub(m.said) < rarely {
		return ""
	}
	m.said = now
	return line
}

func (m *meter) line(pass int, at uint64, now time.Time) string {
	done, all := uint64(pass)*m.plan.Target+at, uint64(m.plan.Passes)*m.plan.Target
	if m.since.IsZero() {
		m.since, m.first = now, done
	}
	text := fmt.Sprintf("rebuild %s: pass %d of %d, at sequence %d of %d", m.plan.Projection, pass+1, m.plan.Passes, at, m.plan.Target)
	rate := float64(done-m.first) / now.Sub(m.since).Seconds()
	if !(rate > 0) { // also not a number: nothing was seen yet
		return text
	}
	left := time.Duration(float64(all-min(done, all)) / rate * float64(time.Second))
	return fmt.Sprintf("%s, %.0f events/s, ETA %s", text, rate, left.Round(time.Second))
}
