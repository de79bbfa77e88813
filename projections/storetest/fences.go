package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"outlink/domain/link"
	"outlink/projections"
)

var reenabled = link.Enabled{Reason: "an event like any other"}

// testFence: a batch that does not begin at the checkpoint stores nothing.
func testFence(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("CRM", "google"))
	project(t, s, l)
	row := linkRow(t, s, "crm")
	row.Sequence, row.State.Name = 50, "Stolen"
	other := projections.LinkRow{Link: LinkID("other"), Sequence: 50, State: row.State}
	for _, from := range []uint64{0, l.Last() - 1, l.Last() + 1, 50} {
		b := projections.Batch{Projection: "links", Generation: 1, From: from, To: 50, Links: []projections.LinkRow{row, other}}
		if err := s.Apply(t.Context(), b); !errors.Is(err, projections.ErrFenced) {
			t.Errorf("a batch from %d: error is %v", from, err)
		}
	}
	b := projections.Batch{Projection: "links", Generation: 7, From: l.Last(), To: 50}
	if err := s.Apply(t.Context(), b); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("a batch of no generation: error is %v", err)
	}
	equalToReplay(t, s, l.Records)
	if p := positions(t, s)["links"]; p.Sequence != l.Last() {
		t.Errorf("the checkpoint is at %d", p.Sequence)
	}
}

// testRowNeverGoesBack: an older row does not replace a newer one.
func testRowNeverGoesBack(t *testing.T, open Open) {
	s, l := migrated(t, open), authorized(new(Log).Link("crm", created("CRM", "google")))
	project(t, s, l)
	last := l.Last()
	for name, b := range map[string]projections.Batch{
		"links": {
			Links:  []projections.LinkRow{{Link: LinkID("crm"), Sequence: 1}},
			Grants: []projections.GrantRow{{Link: LinkID("crm"), Grant: GrantID("crm/ann"), Sequence: 1}},
		},
		"activity": {Activity: l.Records[:1]},
	} {
		b.Projection, b.Generation, b.From, b.To = name, 1, last, last+1
		if err := s.Apply(t.Context(), b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	equalToReplay(t, s, l.Records)
}

// both runs two projectors of the same at once, and counts how often one of them
// came too late. around is called with each Apply of either.
func both(t *testing.T, p projections.Projection, s Store, l *Log, around func(ctx context.Context, apply func(context.Context) error) error, ended func()) (fenced int64) {
	t.Helper()
	var late atomic.Int64
	counting := applying{s, func(ctx context.Context, apply func(context.Context) error) error {
		err := around(ctx, apply)
		if errors.Is(err, projections.ErrFenced) {
			late.Add(1)
		}
		return err
	}}
	start := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			<-start
			defer ended()
			if err := engine(p, counting, l).Run(t.Context()); err != nil {
				t.Error("projector:", err)
			}
		})
	}
	close(start)
	all.Wait()
	if at := positions(t, s)[p.Name].Sequence; at != l.Last() {
		t.Errorf("both ended at %d, want %d", at, l.Last())
	}
	return late.Load()
}

// testTwoProjectors: two nodes that believe they are alone, many times.
func testTwoProjectors(t *testing.T, open Open) {
	s, l, r := migrated(t, open), &Log{Batch: 2}, rand.New(rand.NewPCG(9, 10))
	for range 10 {
		random(r, l, 40)
		for _, p := range projections.All() {
			both(t, p, s, l, func(ctx context.Context, apply func(context.Context) error) error { return apply(ctx) }, func() {})
		}
	}
	project(t, s, l)
	equalToReplay(t, s, l.Records)
}

// testTwoProjectorsMeet: both have folded the same batch before either stores
// it: one is fenced each time, and goes on from where the other has come.
func testTwoProjectorsMeet(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(11, 12)), &Log{Batch: 4}, 100)
	for _, p := range projections.All() {
		meet, gone := make(chan struct{}), make(chan struct{})
		var once sync.Once
		together := func(ctx context.Context, apply func(context.Context) error) error {
			select {
			case meet <- struct{}{}:
			case <-meet:
			case <-gone:
			}
			return apply(ctx)
		}
		if fenced := both(t, p, s, l, together, func() { once.Do(func() { close(gone) }) }); fenced < 10 {
			t.Errorf("a projector of %s was fenced only %d times: the two did not meet", p.Name, fenced)
		}
	}
	project(t, s, l)
	equalToReplay(t, s, l.Records)
}
