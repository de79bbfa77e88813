package projections

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"outlink/domain"
)

// Replay folds a log from its beginning without a store, and rolls the grants up
// once at the end: what the stored rows, kept by deltas, must be equal to.
func Replay(records []domain.Record) (map[uuid.UUID]LinkRow, map[uuid.UUID]GrantRow, error) {
	links := NewReplayedLinks()
	grants := &grantsFold{rows: map[uuid.UUID]GrantRow{}}
	for _, r := range unseen(records, 0) {
		if err := links.Apply(r); err != nil {
			return nil, nil, err
		}
		if err := grants.apply(r); err != nil {
			return nil, nil, Grants.poison(r, err)
		}
	}
	return links.Rows(), grants.rows, nil
}

// ReplayedLinks are the links as a log leaves them that is folded event by
// event, in its order and from its beginning; the events are not kept.
type ReplayedLinks struct{ fold *linksFold }

// NewReplayedLinks are none.
func NewReplayedLinks() ReplayedLinks {
	return ReplayedLinks{&linksFold{links: map[uuid.UUID]LinkRow{}, members: map[uuid.UUID]Member{}}}
}

// Apply folds the next event.
func (l ReplayedLinks) Apply(r domain.Record) error {
	if err := l.fold.apply(r); err != nil {
		return Links.poison(r, err)
	}
	return nil
}

// Rows are the links by their ids, deleted ones too.
func (l ReplayedLinks) Rows() map[uuid.UUID]LinkRow {
	rollUp(l.fold)
	return l.fold.links
}

func rollUp(f *linksFold) {
	for id, row := range f.links {
		row.Grants = GrantCounts{}
		f.links[id] = row
	}
	for _, m := range f.members {
		row := f.links[m.Link]
		row.Grants = row.Grants.plus(m.counts(), +1)
		row.NextExpiry = earliest(row.NextExpiry, m.ExpiresAt())
		f.links[m.Link] = row
	}
}

// Dump reads all rows of the active generations. It is equal to a Replay of the
// log up to the checkpoints while no projector is running.
func Dump(ctx context.Context, s interface {
	Reader
	Scanner
}) (map[uuid.UUID]LinkRow, map[uuid.UUID]GrantRow, error) {
	positions, err := s.Positions(ctx)
	if err != nil {
		return nil, nil, err
	}
	active := map[string]int{}
	for _, p := range positions {
		active[p.Projection] = p.Generation
	}
	links, err := scan(ctx, active[Links.Name], s.ScanLinks, func(r LinkRow) uuid.UUID { return r.Link })
	if err != nil {
		return nil, nil, fmt.Errorf("dump links: %w", err)
	}
	grants, err := scan(ctx, active[Grants.Name], s.ScanGrants, func(r GrantRow) uuid.UUID { return r.Grant })
	if err != nil {
		return nil, nil, fmt.Errorf("dump grants: %w", err)
	}
	return links, grants, nil
}

const scanPage = 1000

func scan[Row any](ctx context.Context, generation int,
	next func(ctx context.Context, generation int, after uuid.UUID, limit int) ([]Row, error), id func(Row) uuid.UUID,
) (map[uuid.UUID]Row, error) {
	all := map[uuid.UUID]Row{}
	for after := uuid.Nil; ; {
		page, err := next(ctx, generation, after, scanPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		for _, row := range page {
			all[id(row)] = row
		}
		after = id(page[len(page)-1])
	}
}
