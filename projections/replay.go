package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// Replay folds a log from its beginning without a store, and rolls the grants up
// once at the end: what the stored rows, kept by deltas, must be equal to.
func Replay(records []domain.Record) (map[uuid.UUID]LinkRow, map[uuid.UUID]GrantRow, error) {
	links := NewReplayedLinks()
	for _, r := range unseen(records, 0) {
		if err := links.Apply(r); err != nil {
			return nil, nil, err
		}
	}
	return links.Rows(), links.fold.grants.rows(), nil
}

// ReplayedLinks are the links as a log leaves them that is folded event by
// event, in its order and from its beginning; the events are not kept.
type ReplayedLinks struct{ fold *linksFold }

// NewReplayedLinks are none.
func NewReplayedLinks() ReplayedLinks { return ReplayedLinks{newLinksFold()} }

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
	return l.fold.links.rows()
}

// rows are those that there are.
func (f folded[Row]) rows() map[uuid.UUID]Row {
	all := make(map[uuid.UUID]Row, len(f))
	for id, c := range f {
		all[id] = c.now
	}
	return all
}

func rollUp(f *linksFold) {
	for _, row := range f.links {
		row.now.Grants, row.now.NextExpiry = GrantCounts{}, time.Time{}
	}
	for _, g := range f.grants {
		row := f.links[g.now.Link]
		if row == nil {
			continue // nothing of the grant ever showed
		}
		row.now.Grants = row.now.Grants.plus(g.now.counts(), +1)
		row.now.NextExpiry = earliest(row.now.NextExpiry, g.now.KeptUntil())
	}
}

// Dump reads all rows of the active generation. It is equal to a Replay of the
// log up to the checkpoint while no projector is running.
func Dump(ctx context.Context, s interface {
	Reader
	Snapshots
}) (map[uuid.UUID]LinkRow, map[uuid.UUID]GrantRow, error) {
	positions, err := s.Positions(ctx)
	if err != nil {
		return nil, nil, err
	}
	generation := 0
	for _, p := range positions {
		if p.Projection == Links.Name {
			generation = p.Generation
		}
	}
	links, grants := map[uuid.UUID]LinkRow{}, map[uuid.UUID]GrantRow{}
	err = s.Snapshot(ctx, func(rows Scanner) error {
		if err := rows.ScanLinks(ctx, generation, func(s StoredLink) error { links[s.Row.Link] = s.Row; return nil }); err != nil {
			return fmt.Errorf("dump links: %w", err)
		}
		if err := rows.ScanGrants(ctx, generation, func(s StoredGrant) error { grants[s.Row.Grant] = s.Row; return nil }); err != nil {
			return fmt.Errorf("dump grants: %w", err)
		}
		return nil
	})
	return links, grants, err
}
