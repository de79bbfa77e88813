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
	Schedules Schedules
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
	if due := at.State.DueAt(); !due.IsZero() {
		return w.Schedules.Set(ctx, key, due)
	}
	return w.Schedules.Cancel(ctx, key)
}
