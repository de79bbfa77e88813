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
	for _, r := range unseen(records, 0) {
		if err := links.Apply(r); err != nil {
			return nil, nil, err
		}
	}
	return links.Rows(), links.fold.grants, nil
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
	return l.fold.links
}

func rollUp(f *linksFold) {
	for id, row := range f.links {
		row.Grants = GrantCounts{}
		f.links[id] = row
	}
	for _, g := range f.grants {
		row, ok := f.links[g.Link]
		if !ok {
			continue // nothing of the grant ever showed
		}
		row.Grants = row.Grants.plus(g.counts(), +1)
		row.NextExpiry = earliest(row.NextExpiry, g.KeptUntil())
		f.links[g.Link] = row
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
