// Package sweep re-arms what was missed: a grant that the read model says was
// due a while ago is woken, whatever became of its timer. A lost timer is late,
// never lost.
//
// It leaves out what a disabled or deleted link holds, which stays overdue, and
// looks at a bounded number of grants at a time: the next round goes on.
package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/projections"
)

// Overdue lists grants whose time has come.
type Overdue interface {
	Due(ctx context.Context, f projections.DueFilter) (rows []projections.GrantRow, next string, err error)
}

// Worker sweeps. All exported fields are required.
type Worker struct {
	Read  Overdue
	Held  func(ctx context.Context, link uuid.UUID) (bool, error) // disabled or deleted: nothing of it is woken
	Wake  func(ctx context.Context, key domain.Key, at time.Time) error
	Now   func() time.Time
	Log   *slog.Logger
	Every time.Duration // between rounds
	Grace time.Duration // how late a timer may be before it counts as lost

	after string // where the next round goes on; empty: at the beginning
}

// The bounds of a round. Looking is cheap, and a million grants that a link holds
// must not keep a lost timer waiting for long; a grant that is woken may cost a
// request.
const (
	page     = 1000
	maxPages = 50
	maxWoken = 1000
)

// Run sweeps until the context ends.
func (w *Worker) Run(ctx context.Context) error {
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if n, err := w.Sweep(ctx); err != nil && ctx.Err() == nil {
				w.Log.Warn("sweep for overdue grants", "error", err)
			} else if n > 0 {
				w.Log.Info("woke overdue grants", "grants", n)
			}
		}
	}
}

// Sweep does one round and returns how many grants it woke.
func (w *Worker) Sweep(ctx context.Context) (woken int, err error) {
	now, held := w.Now(), map[uuid.UUID]bool{}
	for range maxPages {
		rows, next, err := w.Read.Due(ctx, projections.DueFilter{Before: now.Add(-w.Grace), After: w.after, Limit: page})
		if err != nil {
			w.after = "" // a cursor that is refused must not be tried for ever
			return woken, err
		}
		n, err := w.wake(ctx, rows, held, now)
		if woken += n; err != nil {
			return woken, err
		}
		if w.after = next; next == "" || woken >= maxWoken {
			break
		}
	}
	return woken, nil
}

// wake wakes those of a page that their link does not hold; held remembers links
// for the round.
func (w *Worker) wake(ctx context.Context, rows []projections.GrantRow, held map[uuid.UUID]bool, now time.Time) (woken int, err error) {
	for _, row := range rows {
		is, known := held[row.Link]
		if !known {
			if is, err = w.Held(ctx, row.Link); err != nil {
				return woken, fmt.Errorf("load link %s: %w", row.Link, err)
			}
			held[row.Link] = is
		}
		if is {
			continue
		}
		if err := w.Wake(ctx, domain.Key{Link: row.Link, Grant: row.Grant}, now); err != nil {
			return woken, err
		}
		woken++
	}
	return woken, nil
}
