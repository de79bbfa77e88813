package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/projections"
)

// applying is a store with something of the test's around each Apply.
type applying struct {
	Store
	around func(ctx context.Context, apply func(context.Context) error) error
}

func (s applying) Apply(ctx context.Context, b projections.Batch) error {
	return s.around(ctx, func(ctx context.Context) error { return s.Store.Apply(ctx, b) })
}

// testStoppedBetweenBatches: a projector that is stopped after each of its
// batches goes on where it was.
func testStoppedBetweenBatches(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(1, 2)), &Log{Batch: 7}, 80)
	for _, p := range projections.All() {
		starts := 0
		for positions(t, s)[p.Name].Sequence < l.Last() {
			starts++
			ctx, stop := context.WithCancel(t.Context())
			stopping := applying{s, func(ctx context.Context, apply func(context.Context) error) error {
				defer stop()
				return apply(ctx)
			}}
			if err := engine(p, stopping, l).Run(ctx); err != nil {
				t.Fatalf("stopped %s: %v", p.Name, err)
			}
		}
		if want := (len(l.Records) + 6) / 7; starts != want {
			t.Errorf("%s was started %d times, want %d", p.Name, starts, want)
		}
	}
	equalToReplay(t, s, l.Records)
}

// testStoppedWithinTransaction: a transaction that is cut off has stored
// everything or nothing.
func testStoppedWithinTransaction(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(3, 4)), &Log{Batch: 3}, 120)
	for round := 0; positions(t, s)["links"].Sequence < l.Last() && round < 1000; round++ {
		ctx, stop := context.WithCancel(t.Context())
		cut := applying{s, func(ctx context.Context, apply func(context.Context) error) error {
			if round%4 != 0 { // else it may end
				go stop()
			}
			return apply(ctx)
		}}
		if err := engine(projections.Links, cut, l).Run(ctx); err != nil {
			t.Fatal("cut off:", err)
		}
		stop()
	}
	project(t, s, l)
	equalToReplay(t, s, l.Records)

	ended, stop := context.WithCancel(t.Context())
	stop()
	at := positions(t, s)["links"].Sequence
	if err := s.Apply(ended, projections.Batch{Projection: "links", Generation: 1, From: at, To: at + 1}); err == nil {
		t.Error("a batch was stored after the context's end")
	}
	if now := positions(t, s)["links"].Sequence; now != at {
		t.Errorf("it moved the checkpoint from %d to %d", at, now)
	}
}

// testFoldedAhead: each batch is folded while the one before is on its way into the
// store, and some of these never arrive there.
func testFoldedAhead(t *testing.T, open Open) {
	s, l, r := migrated(t, open), new(Log), rand.New(rand.NewPCG(15, 16))
	calls := 0
	slow := applying{s, func(ctx context.Context, apply func(context.Context) error) error {
		time.Sleep(time.Millisecond)
		if calls++; calls%7 == 0 {
			return errors.New("the connection broke")
		}
		return apply(ctx)
	}}
	for range 100 { // what is wrong in a row may be right after the next event
		random(r, l, 6)
		l.Batch = 1 + r.IntN(2)
		project(t, slow, l)
		equalToReplay(t, s, l.Records)
	}
}

// testCommitWithoutAnswer: a batch that was stored although the answer was lost
// is not stored twice.
func testCommitWithoutAnswer(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(5, 6)), &Log{Batch: 5}, 60)
	calls := 0
	lossy := applying{s, func(ctx context.Context, apply func(context.Context) error) error {
		calls++
		if err := apply(ctx); err != nil || calls%2 == 0 {
			return err
		}
		return errors.New("connection lost")
	}}
	project(t, lossy, l)
	equalToReplay(t, s, l.Records)
	if calls < 12 {
		t.Errorf("only %d batches were stored", calls)
	}
}

// testSeenAgain: a feed that begins anew again and again changes nothing.
func testSeenAgain(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(7, 8)), &Log{Batch: 11}, 50)
	for range 3 {
		project(t, s, stutter{l})
	}
	equalToReplay(t, s, l.Records)
	timeline, err := s.Activity(t.Context(), projections.ActivityFilter{Link: LinkID("link0"), Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, r := range l.Records {
		if r.Link == LinkID("link0") {
			want++
		}
	}
	if len(timeline) != want {
		t.Errorf("the timeline has %d events, want %d", len(timeline), want)
	}
}

// stutter delivers the whole log, each batch twice, wherever one asks to begin.
type stutter struct{ *Log }

func (s stutter) Follow(ctx context.Context, _ uint64, handle func(context.Context, []domain.Record) error) error {
	return s.Log.Follow(ctx, 0, func(ctx context.Context, batch []domain.Record) error {
		return errors.Join(handle(ctx, batch), handle(ctx, batch))
	})
}

// testPoison: an event that cannot be folded stops the projection right before
// it, and says so in the store.
func testPoison(t *testing.T, open Open) {
	before := func() *Log { return authorized(new(Log).Link("crm", created("CRM", "google"))) }
	for name, tt := range map[string]struct {
		log     *Log
		problem string
		only    []projections.Projection
	}{
		"unknown event":     {before().Raw("crm", "outlink.link.painted.v1", `{}`), `unknown event type "outlink.link.painted.v1"`, projections.All()},
		"unknown version":   {before().Raw("crm", "outlink.link.disabled.v2", `{}`), `unknown event type`, projections.All()},
		"unknown aggregate": {before().Raw("crm", "outlink.name.reserved.v1", `{}`), `unknown event type`, projections.All()},
		"not JSON":          {before().Raw("crm", "outlink.link.disabled.v1", `[1]`), `decode outlink.link.disabled.v1`, projections.All()},
		"of no link":        {orphan(before()), `belongs to no link`, projections.All()},
		"missing event": {skip(before().Grant("crm/ann", started(1)).Grant("crm/ann", deferred(1, grant.Transient))), `events are missing`,
			[]projections.Projection{projections.Links}}, // the timeline folds nothing
	} {
		t.Run(name, func(t *testing.T) {
			s := migrated(t, open)
			bad := tt.log.Records[3]
			tt.log.Link("crm", reenabled) // what comes after it must wait
			for _, p := range tt.only {
				err := engine(p, s, tt.log).Run(t.Context())
				var poison *projections.PoisonError
				if !errors.As(err, &poison) || poison.Sequence != bad.Sequence || poison.Type != bad.Type || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("%s: error is %v", p.Name, err)
				}
				at := positions(t, s)[p.Name]
				if at.Sequence != tt.log.Records[2].Sequence {
					t.Errorf("%s is at %d, want %d", p.Name, at.Sequence, tt.log.Records[2].Sequence)
				}
				if at.Problem != err.Error() {
					t.Errorf("%s has the problem %q, want %q", p.Name, at.Problem, err)
				}
			}
			equalToReplay(t, s, tt.log.Records[:3])
		})
	}
}

// skip loses the fourth event of a log.
func skip(l *Log) *Log {
	l.Records = append(l.Records[:3], l.Records[4:]...)
	return l
}

func orphan(l *Log) *Log {
	l.Raw("crm", "outlink.link.disabled.v1", `{}`)
	l.Records[3].Link = uuid.Nil
	return l
}

// testNewerNode: a node that can fold the event clears the problem, and one that
// cannot does not bring it back.
func testNewerNode(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("CRM", "google")).Raw("crm", "outlink.link.painted.v1", `{}`)
	if err := engine(projections.Links, s, l).Run(t.Context()); err == nil {
		t.Fatal("an older node folded it")
	}
	stopped := positions(t, s)["links"]
	newer := new(Log).Link("crm", created("CRM", "google")).Link("crm", reenabled)
	project(t, s, newer)
	if p := positions(t, s)["links"]; p.Problem != "" || p.Sequence != newer.Last() {
		t.Errorf("a newer node left it at %+v", p)
	}
	if err := s.Report(t.Context(), stopped); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the older node reported its problem again: %v", err)
	}
	if p := positions(t, s)["links"]; p.Problem != "" {
		t.Errorf("the problem is %q again", p.Problem)
	}
}
