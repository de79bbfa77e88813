package queries

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/projections"
)

// ListEvents asks for the timeline of a link with its grants, or of one of them,
// newest first.
type ListEvents struct {
	Freshness
	Link   uuid.UUID `json:"link_id"`
	Grant  uuid.UUID `json:"grant_id,omitzero"`
	Before uint64    `json:"before,omitempty"` // only events with a lower sequence: the last one of the page before
	Limit  int       `json:"limit,omitempty"`
}

// EventList is a page of the timeline.
type EventList struct {
	Staleness
	Events []domain.Record `json:"events"` // newest first
}

// ListEvents runs the query.
func (s *Service) ListEvents(ctx context.Context, q ListEvents) (EventList, error) {
	if err := domain.Given("link_id", q.Link); err != nil {
		return EventList{}, err
	}
	stale, err := s.Wait(ctx, q.Freshness, projections.Activity.Name)
	if err != nil {
		return EventList{}, err
	}
	records, err := s.Read.Activity(ctx, projections.ActivityFilter{Link: q.Link, Grant: q.Grant, Before: q.Before, Limit: q.Limit})
	if err == nil && len(records) == 0 {
		_, err = s.Read.Link(ctx, q.Link)
	}
	return EventList{Events: append([]domain.Record{}, records...), Staleness: stale}, err
}
