package main

import (
	"strings"
	"testing"
	"time"

	"outlink/internal/readmodel"
	"outlink/projections"
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

// Lines come now and then, those of each rebuild by themselves.
func TestMeters(t *testing.T) {
	m := newMeters([]readmodel.Plan{{Projection: "links", Target: 1000, Passes: 1}, {Projection: "activity", Target: 1000, Passes: 1}})
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		i     int
		after time.Duration
		want  string
	}{{0, 0, ""}, {0, 4 * time.Second, ""}, {1, 4 * time.Second, ""}, {0, 6 * time.Second, "rebuild links"}, {0, 7 * time.Second, ""}, {1, 9 * time.Second, "rebuild activity"}} {
		got := m.line(step.i, 0, 100, noon.Add(step.after))
		if !strings.HasPrefix(got, step.want) || (step.want == "") != (got == "") {
			t.Errorf("after %v it says %q, want %q", step.after, got, step.want)
		}
	}
}

// Whoever interrupts a rebuild of a past state is told the place, not the time,
// and of what is ready no more is said.
func TestResumption(t *testing.T) {
	links, activity := readmodel.Request{Projection: projections.Links}, readmodel.Request{Projection: projections.Activity}
	past := links
	past.Past, past.Until, past.Label = true, 7, "new year"
	verifying := projections.Generation{State: projections.StateBuilding, Finished: true}
	for _, tt := range []struct {
		requests []readmodel.Request
		built    []projections.Generation
		want     string
	}{
		{[]readmodel.Request{past}, []projections.Generation{{}}, `links --until 7 --label "new year"`},
		{[]readmodel.Request{activity, links}, []projections.Generation{{}, verifying}, "activity links"},
		{[]readmodel.Request{activity, links}, []projections.Generation{{State: projections.StateActive}, verifying}, "links"},
	} {
		if got := resumption(tt.requests, tt.built); !strings.HasPrefix(got, "outlink projection rebuild "+tt.want+";") {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}
