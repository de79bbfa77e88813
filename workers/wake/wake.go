// Package wake lets grants go on that waited for their link: when a link is well
// again, or might be, those that its trouble kept are woken, a few at a time.
package wake

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
)

// Waiting lists a link's grants.
type Waiting interface {
	Grants(ctx context.Context, f projections.GrantFilter) (rows []projections.GrantRow, next string, err error)
}

// Worker wakes grants. All fields are required.
type Worker struct {
	Read   Waiting
	Wake   func(ctx context.Context, key domain.Key, at time.Time) error
	Now    func() time.Time
	Spread func() float64 // in [0,1)
}

// page is how many grants are woken within pace of each other: a link may have
// a million, and its provider was in trouble a moment ago.
const (
	page = 500
	pace = 10 * time.Second
)

// Handle wakes the grants of a link whose event says that its trouble is over,
// or that somebody has done something about it.
func (w *Worker) Handle(ctx context.Context, r domain.Record) error {
	e, err := link.Kinds.Decode(r.Type, r.Data)
	if err != nil {
		return err
	}
	switch e.(type) {
	case link.Updated, link.ClientSecretReplaced, link.Recovered, link.Enabled:
		return w.grants(ctx, r.Link)
	}
	return nil
}

func (w *Worker) grants(ctx context.Context, id uuid.UUID) error {
	from, after := w.Now(), ""
	for {
		rows, next, err := w.Read.Grants(ctx, projections.GrantFilter{Link: id, Status: grant.StatusRetrying, After: after, Limit: page})
		if err != nil {
			return fmt.Errorf("list the grants that wait for link %s: %w", id, err)
		}
		for _, row := range rows {
			if row.State.Deferred != grant.LinkTrouble {
				continue
			}
			at := from.Add(time.Duration(w.Spread() * float64(pace)))
			if err := w.Wake(ctx, domain.Key{Link: row.Link, Grant: row.Grant}, at); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		from, after = from.Add(pace), next
	}
}
