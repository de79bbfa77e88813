package main

import (
	"strings"
	"testing"
	"time"

	"outlink/internal/readmodel"
)

// A rebuild that was resumed in its second pass counts what it did itself.
func TestMeter(t *testing.T) {
	m := meter{plan: readmodel.Plan{Projection: "links", Target: 1000, Passes: 2}}
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	if got := m.line(1, 200, noon); strings.Contains(got, "events/s") {
		t.Errorf("the first line knows a rate: %s", got)
	}
	want := "rebuild links: pass 2 of 2, at sequence 600 of 1000, 100 events/s, ETA 4s"
	if got := m.line(1, 600, noon.Add(4*time.Second)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Whoever interrupts a rebuild of a past state is told the place, not the time.
func TestResumption(t *testing.T) {
	got := resumption("links", readmodel.Request{Past: true, Until: 7, Label: "new year"})
	if !strings.HasPrefix(got, `outlink projection rebuild links --until 7 --label "new year";`) {
		t.Error(got)
	}
	if got := resumption("links", readmodel.Request{}); !strings.HasPrefix(got, "outlink projection rebuild links;") {
		t.Error(got)
	}
}
