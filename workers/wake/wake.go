// Package wake lets grants go on that waited for their link: when a link is well
// again, or might be, those that its trouble kept are woken, a few at a time; when
// it is enabled, so are those whose time came while it was disabled.
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
	case link.Updated, link.ClientSecretReplaced, link.Recovered:
		return w.grants(ctx, r.Link, grant.State.WaitsForLink, grant.StatusRetrying, grant.StatusUncertain)
	case link.Enabled:
		now := w.Now()
		return w.grants(ctx, r.Link, func(s grant.State) bool { return s.WaitsForLink() || overdue(s, now) }, "")
	}
	return nil
}

// overdue reports whether a grant's timer has fired, for nothing if the link was
// disabled.
func overdue(s grant.State, now time.Time) bool {
	due := s.DueAt()
	return !due.IsZero() && !due.After(now)
}

// grants wakes those of a link that wait, of some statuses; "" is all of them.
func (w *Worker) grants(ctx context.Context, id uuid.UUID, waits func(grant.State) bool, statuses ...grant.Status) error {
	from := w.Now()
	for _, status := range statuses {
		var err error
		if from, err = w.of(ctx, id, status, waits, from); err != nil {
			return err
		}
	}
	return nil
}

// of is grants of one status, from a time on. It returns when the next may be woken.
func (w *Worker) of(ctx context.Context, id uuid.UUID, status grant.Status, waits func(grant.State) bool, from time.Time) (time.Time, error) {
	after := ""
	for {
		rows, next, err := w.Read.Grants(ctx, projections.GrantFilter{Link: id, Status: status, After: after, Limit: page})
		if err != nil {
			return from, fmt.Errorf("list the grants that wait for link %s: %w", id, err)
		}
		for _, row := range rows {
			if !waits(row.State) {
				continue
			}
			at := from.Add(time.Duration(w.Spread() * float64(pace)))
			if err := w.Wake(ctx, domain.Key{Link: row.Link, Grant: row.Grant}, at); err != nil {
				return from, err
			}
		}
		from, after = from.Add(pace), next
		if next == "" {
			return from, nil
		}
	}
}
