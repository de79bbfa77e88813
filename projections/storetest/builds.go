package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/projections"
)

// build fills a new generation of every projection up to a sequence.
func build(t testing.TB, s Store, l *Log, label string, upTo uint64, passes int) map[string]projections.Generation {
	t.Helper()
	all := map[string]projections.Generation{}
	for _, p := range projections.All() {
		n := passes
		if p.Name == projections.Activity.Name {
			n = 1
		}
		g, err := s.Begin(t.Context(), projections.Generation{Position: projections.Position{Projection: p.Name}, Label: label, Target: upTo, Passes: n})
		if err != nil {
			t.Fatal("begin:", err)
		}
		if err := (projections.Build{Projection: p, Feed: l, Store: s}).Run(t.Context(), g); err != nil {
			t.Fatal("build:", err)
		}
		all[p.Name] = generation(t, s, p.Name, g.Generation)
	}
	return all
}

func generation(t testing.TB, s Store, projection string, number int) projections.Generation {
	t.Helper()
	all, err := s.Generations(t.Context())
	if err != nil {
		t.Fatal("generations:", err)
	}
	for _, g := range all {
		if g.Projection == projection && g.Generation == number {
			return g
		}
	}
	t.Fatalf("generation %d of %s is not listed in %+v", number, projection, all)
	return projections.Generation{}
}

func switchTo(t testing.TB, s Store, all map[string]projections.Generation) {
	t.Helper()
	for name, g := range all {
		if err := s.Switch(t.Context(), name, g.Generation); err != nil {
			t.Fatalf("switch %s to %d: %v", name, g.Generation, err)
		}
	}
}

// testBuild: a generation that is filled in bulk, in one pass or in many, has the
// rows that one kept up event by event has; it is caught up and switched to.
func testBuild(t *testing.T, open Open) {
	for _, passes := range []int{1, 7} {
		s, l := migrated(t, open), random(rand.New(rand.NewPCG(3, 4)), &Log{Batch: 9}, 200)
		project(t, s, l)
		upTo := l.Records[150].Sequence
		all := build(t, s, l, "", upTo, passes)
		for name, g := range all {
			if g.State != projections.StateBuilding || !g.Followed() || g.Sequence != upTo {
				t.Errorf("%s in %d passes: %+v", name, passes, g)
			}
			e := engine(byName(name), s, l)
			e.Generation = g.Generation
			if err := e.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		before := activity(t, s, "link0")
		switchTo(t, s, all)
		wait(s)
		equalToReplay(t, s, l.Records)
		if diff := cmp.Diff(before, activity(t, s, "link0")); diff != "" || len(before) == 0 {
			t.Errorf("the timeline of %d events differs:\n%s", len(before), diff)
		}
	}
}

func byName(name string) projections.Projection {
	for _, p := range projections.All() {
		if p.Name == name {
			return p
		}
	}
	panic("no projection " + name) // a mistake in a test
}

func activity(t testing.TB, s projections.Reader, name string) []domain.Record {
	t.Helper()
	records, err := s.Activity(t.Context(), projections.ActivityFilter{Link: LinkID(name), Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// watching is a builder that notes how rows are loaded.
type watching struct {
	Store
	mu    sync.Mutex
	again []bool
}

func (s *watching) Load(ctx context.Context, b projections.Batch, again bool) error {
	s.mu.Lock()
	s.again = append(s.again, again)
	s.mu.Unlock()
	return s.Store.Load(ctx, b, again)
}

// testBuildCopies: rows that cannot be there yet are copied, in the first pass
// too; only a pass that was interrupted while it stored rows replaces them.
func testBuildCopies(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(3, 4)), &Log{Batch: 9}, 50)
	g, err := s.Begin(t.Context(), projections.Generation{Position: projections.Position{Projection: "links"}, Target: l.Last(), Passes: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []struct {
		loads int
		again bool
	}{{0, false}, {1, true}, {99, true}} { // the first is stopped before its first row
		w := &watching{Store: stoppingAfter(s, run.loads)}
		err := projections.Build{Projection: projections.Links, Feed: l, Store: w}.Run(t.Context(), generation(t, s, "links", g.Generation))
		if err != nil && !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		if len(w.again) == 0 || w.again[0] != run.again {
			t.Errorf("stopped after %d loads: rows are loaded again: %v, want %v", run.loads, w.again, run.again)
		}
	}
}

// unfinished is a builder that stops before the end.
type unfinished struct{ Store }

func (unfinished) Finish(context.Context, projections.Generation) error { return errStopped }

// testBuildCounts: a build that stopped between its last pass and its end is not
// followed and not switched to; and where a projector came past the target in that
// moment all the same, the links are counted.
func testBuildCounts(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(3, 4)), &Log{Batch: 9}, 100)
	g, err := s.Begin(t.Context(), projections.Generation{Position: projections.Position{Projection: "links"}, Target: l.Last(), Passes: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := projections.Build{Projection: projections.Links, Feed: l, Store: unfinished{s}}
	if err := b.Run(t.Context(), g); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if g = generation(t, s, "links", g.Generation); g.Followed() || g.Loaded() {
		t.Errorf("%+v is followed before it is finished", g)
	}
	wantCode(t, domain.FailedPrecondition, "a switch to what is not finished", s.Switch(t.Context(), "links", g.Generation))
	l.Link("late", created("Late", "microsoft"))
	e := engine(projections.Links, s, l)
	e.Generation = g.Generation
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Store = s
	if err := errors.Join(b.Run(t.Context(), g), b.Run(t.Context(), g)); err != nil {
		t.Fatal(err)
	}
	project(t, s, l)
	want, err := s.LinkCounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	built, err := s.At(t.Context(), "links", g.Generation)
	if err != nil {
		t.Fatal(err)
	}
	got, err := built.LinkCounts(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil || len(want) == 0 {
		t.Errorf("counts differ from those kept event by event (error %v):\n%s", err, diff)
	}
}

// stopping is a builder that fails after some loads.
type stopping struct {
	Store
	loads atomic.Int64
}

// stoppingAfter fails after so many loads.
func stoppingAfter(s Store, loads int) *stopping {
	stops := &stopping{Store: s}
	stops.loads.Store(int64(loads))
	return stops
}

var errStopped = errors.New("the power is gone")

func (s *stopping) Load(ctx context.Context, b projections.Batch, again bool) error {
	if s.loads.Add(-1) < 0 {
		return errStopped
	}
	return s.Store.Load(ctx, b, again)
}

// testBuildInterrupted: a build that stops anywhere goes on where it was.
func testBuildInterrupted(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(5, 6)), &Log{Batch: 9}, 300)
	project(t, s, l)
	all := map[string]projections.Generation{}
	for _, p := range projections.All() {
		passes := 5
		if p.Name == projections.Activity.Name {
			passes = 1
		}
		g, err := s.Begin(t.Context(), projections.Generation{Position: projections.Position{Projection: p.Name}, Target: l.Last(), Passes: passes})
		if err != nil {
			t.Fatal(err)
		}
		stops := 0
		for i := 0; ; i++ {
			err := projections.Build{Projection: p, Feed: l, Store: stoppingAfter(s, i%4)}.Run(t.Context(), generation(t, s, p.Name, g.Generation))
			if err == nil {
				break
			}
			if stops++; !errors.Is(err, errStopped) || stops > 50 {
				t.Fatal(err)
			}
		}
		all[p.Name] = generation(t, s, p.Name, g.Generation)
		if stops == 0 {
			t.Errorf("%s was never interrupted", p.Name)
		}
	}
	switchTo(t, s, all)
	wait(s)
	equalToReplay(t, s, l.Records)
}

// testPast: the state of a past moment is a generation with a name, which can be
// read, and is never the active one.
func testPast(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("CRM", "google"))
	past := l.Last()
	l.Link("crm", link.Disabled{}).Link("erp", created("ERP", "custom"))
	project(t, s, l)
	g := build(t, s, l, "audit", past, 1)["links"]
	if g.Label != "audit" || g.Followed() {
		t.Errorf("%+v", g)
	}
	then, err := s.At(t.Context(), "links", g.Generation)
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := then.Links(t.Context(), projections.LinkFilter{})
	if err != nil || len(rows) != 1 || rows[0].State.Status() != link.StatusActive {
		t.Errorf("the past state lists %+v, error %v", rows, err)
	}
	_, err = s.At(t.Context(), "links", 99)
	wantCode(t, domain.NotFound, "a generation that does not exist", err)
	wantCode(t, domain.FailedPrecondition, "a switch to a past state", s.Switch(t.Context(), "links", g.Generation))
	if rows, _, err := s.Links(t.Context(), projections.LinkFilter{}); err != nil || len(rows) != 2 {
		t.Errorf("the present lists %d links, error %v", len(rows), err)
	}
}

// testSwitch: there and back, and what is active is not dropped.
func testSwitch(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("CRM", "google"))
	project(t, s, l)
	all := build(t, s, l, "", l.Last(), 1)
	for name, g := range all {
		wantCode(t, domain.FailedPrecondition, "drop the active one", s.Drop(t.Context(), name, 1))
		for _, to := range []int{g.Generation, 1, g.Generation, g.Generation} {
			if err := s.Switch(t.Context(), name, to); err != nil {
				t.Fatal(err)
			}
			if at := positions(t, s)[name]; at.Generation != to {
				t.Errorf("%s is at generation %d after a switch to %d", name, at.Generation, to)
			}
		}
		wantCode(t, domain.FailedPrecondition, "switch to nothing", s.Switch(t.Context(), name, 99))
		if err := s.Drop(t.Context(), name, 1); err != nil {
			t.Errorf("drop the old one: %v", err)
		}
		if err := s.Drop(t.Context(), name, 1); err == nil {
			t.Error("it was dropped twice")
		}
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Error("migrate afterwards:", err)
	}
	wait(s)
	equalToReplay(t, s, l.Records)
}

// testReadersDuringSwitches: readers see one generation or the other, and never
// an empty list.
func testReadersDuringSwitches(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log)
	for i := range 20 {
		l.Link(fmt.Sprint("link", i), created(fmt.Sprint("L", i), "google"))
	}
	project(t, s, l)
	g := build(t, s, l, "", l.Last(), 1)["links"]
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				rows, _, err := s.Links(t.Context(), projections.LinkFilter{})
				if err != nil || len(rows) != 20 {
					t.Errorf("a reader sees %d links, error %v", len(rows), err)
					return
				}
			}
		})
	}
	for i := range 40 {
		if err := s.Switch(t.Context(), "links", []int{g.Generation, 1}[i%2]); err != nil {
			t.Error(err)
		}
	}
	cancel()
	readers.Wait()
}
