// Package sweep re-arms what was missed: a grant that the read model says was
// due a while ago is woken, whatever became of its timer. A lost timer is late,
// never lost.
package sweep

import (
	"context"
	"log/slog"
	"time"

	"outlink/domain"
	"outlink/projections"
)

// Overdue lists grants whose time has come.
type Overdue interface {
	Due(ctx context.Context, before time.Time, limit int) ([]projections.GrantRow, error)
}

// Worker sweeps. All fields are required.
type Worker struct {
	Read  Overdue
	Wake  func(ctx context.Context, key domain.Key, at time.Time) error
	Now   func() time.Time
	Log   *slog.Logger
	Every time.Duration // between sweeps
	Grace time.Duration // how late a timer may be before it counts as lost
}

// page bounds one sweep; the next one finds the rest.
const page = 1000

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

// Sweep wakes what is overdue and returns how many grants that were.
func (w *Worker) Sweep(ctx context.Context) (int, error) {
	now := w.Now()
	rows, err := w.Read.Due(ctx, now.Add(-w.Grace), page)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if err := w.Wake(ctx, domain.Key{Link: row.Link, Grant: row.Grant}, now); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}
