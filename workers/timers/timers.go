// Package timers keeps one pending schedule for each grant that somebody must
// look at again, and none for the others.
//
// It follows the log and sets each grant's schedule to the grant's DueAt. It
// keeps no state of its own: whatever it misses, the sweep finds.
package timers

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Schedules holds at most one pending wake-up a grant.
type Schedules interface {
	// Set replaces the grant's schedule; a time that is over wakes it at once.
	Set(ctx context.Context, key domain.Key, at time.Time) error
	Cancel(ctx context.Context, key domain.Key) error
}

// Worker sets schedules. All fields are required.
type Worker struct {
	Grants    commands.Log[grant.State, grant.Event]
	Links     commands.Log[link.State, link.Event]
	Schedules Schedules
	Now       func() time.Time
}

// parallel is how many schedules are set at once.
const parallel = 16

// Handle brings the schedules of the grants in a batch of events up to date.
// Each grant's newest state counts, whatever the event said.
func (w *Worker) Handle(ctx context.Context, batch []domain.Record) error {
	keys := map[domain.Key]bool{}
	for _, r := range batch {
		if r.OfGrant() {
			keys[domain.Key{Link: r.Link, Grant: r.Grant}] = true
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for key := range keys {
		group.Go(func() error { return w.arm(ctx, key) })
	}
	return group.Wait()
}

func (w *Worker) arm(ctx context.Context, key domain.Key) error {
	at, err := w.Grants.Load(ctx, key)
	if err != nil {
		return fmt.Errorf("load grant %s: %w", key, err)
	}
	due := at.State.DueAt()
	if due.IsZero() {
		return w.Schedules.Cancel(ctx, key)
	}
	if err := w.Schedules.Set(ctx, key, due); err != nil || !at.State.WaitsForLink() || at.State.RequestedAt.IsZero() {
		return err
	}
	return w.hurry(ctx, key)
}

// hurry wakes a grant at once that waits for its link, and that somebody wants, if the
// link is well. It looks at the link after the schedule is set: that took the place of
// one that was set when the link became well.
func (w *Worker) hurry(ctx context.Context, key domain.Key) error {
	l, err := w.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil {
		return fmt.Errorf("load link %s: %w", key.Link, err)
	}
	if l.State.Status() != link.StatusActive {
		return nil
	}
	return w.Schedules.Set(ctx, key, w.Now())
}
