package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlink/domain"
	"outlink/projections"
)

// Fill gives a store some links, grants and events.
func Fill(t testing.TB, s Store) {
	t.Helper()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	project(t, s, authorized(new(Log).Link("crm", created("CRM", "google"))))
}

// RunOn does once whatever a store does in its life: it migrates, projects, builds,
// switches and drops, and compares the rows with a replay.
func RunOn(t testing.TB, s Store) {
	t.Helper()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := random(rand.New(rand.NewPCG(21, 22)), &Log{Batch: 9}, 200)
	project(t, s, l)
	equalToReplay(t, s, l.Records)
	at := positions(t, s)["links"]
	at.Problem = "none, really"
	if err := s.Report(t.Context(), at); err != nil {
		t.Error("report:", err)
	}
	all := build(t, s, l, "", l.Last(), 3)
	switchTo(t, s, all)
	for name := range all {
		if err := s.Drop(t.Context(), name, 1); err != nil {
			t.Error("drop:", err)
		}
	}
	wait(s)
	equalToReplay(t, s, l.Records)
}

// hasty is a store whose calls are cut off after a while: most after a fifth of
// a millisecond to a tenth of a second, and some before they have begun.
type hasty struct {
	Store
	mu   sync.Mutex
	r    *rand.Rand
	cuts atomic.Int64
}

func (h *hasty) call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.patience())
	defer cancel()
	err := f(ctx)
	if err != nil {
		h.cuts.Add(1)
	}
	return err
}

func (h *hasty) patience() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	most := 200 * time.Microsecond << h.r.IntN(10)
	return time.Duration(h.r.Int64N(int64(most)))
}

func (h *hasty) Apply(ctx context.Context, b projections.Batch) error {
	return h.call(ctx, func(ctx context.Context) error { return h.Store.Apply(ctx, b) })
}

func (h *hasty) Load(ctx context.Context, b projections.Batch, again bool) error {
	return h.call(ctx, func(ctx context.Context) error { return h.Store.Load(ctx, b, again) })
}

func (h *hasty) Record(ctx context.Context, g projections.Generation) error {
	return h.call(ctx, func(ctx context.Context) error { return h.Store.Record(ctx, g) })
}

func (h *hasty) Finish(ctx context.Context, g projections.Generation) error {
	return h.call(ctx, func(ctx context.Context) error { return h.Store.Finish(ctx, g) })
}

func (h *hasty) Switch(ctx context.Context, projection string, generation int) error {
	return h.call(ctx, func(ctx context.Context) error { return h.Store.Switch(ctx, projection, generation) })
}

func (h *hasty) Drop(ctx context.Context, projection string, generation int) error {
	return h.call(ctx, func(ctx context.Context) error { return h.Store.Drop(ctx, projection, generation) })
}

func (h *hasty) Migrate(ctx context.Context) error { return h.call(ctx, h.Store.Migrate) }

// RunCutOff does all of that while each call may be cut off at any moment, and
// whoever made it does it again.
func RunCutOff(t testing.TB, s Store) {
	t.Helper()
	h := &hasty{Store: s, r: rand.New(rand.NewPCG(31, 32))}
	again := func(what string, f func() error) {
		for deadline := time.Now().Add(3 * time.Minute); ; { // a lease that was taken and left ends after one
			err := f()
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	again("migrate", func() error { return h.Migrate(t.Context()) })
	l := random(rand.New(rand.NewPCG(33, 34)), &Log{Batch: 20}, 150)
	project(t, h, l)
	equalToReplay(t, s, l.Records)
	for _, p := range projections.All() {
		g, err := s.Begin(t.Context(), projections.Generation{Position: projections.Position{Projection: p.Name}, Target: l.Last(), Passes: 1})
		if err != nil {
			t.Fatal(err)
		}
		again("build", func() error {
			return projections.Build{Projection: p, Feed: l, Store: h}.Run(t.Context(), generation(t, s, p.Name, g.Generation))
		})
		again("switch", func() error { return h.Switch(t.Context(), p.Name, g.Generation) })
		again("drop", func() error {
			err := h.Drop(t.Context(), p.Name, 1)
			var refused *domain.Error
			if errors.As(err, &refused) && refused.Code == domain.FailedPrecondition {
				return nil // it was dropped by a call that was cut off
			}
			return err
		})
	}
	if n := h.cuts.Load(); n < 30 {
		t.Errorf("only %d calls were cut off", n)
	}
	wait(s)
	equalToReplay(t, s, l.Records)
	for _, p := range projections.All() {
		v := projections.Verification{Projection: p, Feed: l, Store: s, Differs: func(d projections.Difference) { t.Errorf("%+v", d) }}
		if _, err := v.Run(t.Context(), positions(t, s)[p.Name].Generation, 2); err != nil {
			t.Error(err)
		}
	}
}
