package projections

import (
	"context"

	"github.com/google/uuid"
)

// remembered gives an engine the rows that it stored last without asking the
// store, which is where they are written, not read. They are what the store holds
// as long as no other projector works beside: whoever is fenced, or fails in any
// other way, forgets them.
type remembered struct {
	Store
	links  recent[LinkRow]
	grants recent[GrantRow]
}

func remember(s Store) *remembered {
	return &remembered{s, recent[LinkRow]{}, recent[GrantRow]{}}
}

func (m *remembered) forget() { *m = *remember(m.Store) }

// stored takes note of the rows of a batch that is in the store.
func (m *remembered) stored(b Batch) {
	for _, row := range b.Links {
		m.links.put(row.Link, row)
	}
	for _, e := range b.Expiries {
		if row, ok := m.links.get(e.Link); ok {
			row.NextExpiry = e.NextExpiry
			m.links.put(e.Link, row)
		}
	}
	for _, row := range b.Grants {
		m.grants.put(row.Grant, row)
	}
}

func (m *remembered) LinkRows(ctx context.Context, generation int, ids []uuid.UUID) ([]LinkRow, error) {
	return m.links.ask(ctx, generation, ids, m.Store.LinkRows)
}

func (m *remembered) GrantRows(ctx context.Context, generation int, ids []uuid.UUID) ([]GrantRow, error) {
	return m.grants.ask(ctx, generation, ids, m.Store.GrantRows)
}

// recentRows is how many rows of a kind are remembered at least, and half of how
// many at most: some thirty megabytes.
const recentRows = 20_000

// recent holds the rows that were used last: when the young ones are many, they
// become the old ones, and the old ones that nobody has used are gone.
type recent[Row any] struct{ young, old map[uuid.UUID]Row }

func (c *recent[Row]) put(id uuid.UUID, row Row) {
	if c.young == nil || len(c.young) >= recentRows {
		c.young, c.old = map[uuid.UUID]Row{}, c.young
	}
	c.young[id] = row
}

func (c *recent[Row]) get(id uuid.UUID) (Row, bool) {
	if row, ok := c.young[id]; ok {
		return row, true
	}
	row, ok := c.old[id]
	return row, ok
}

// ask asks the store for what is not remembered.
func (c *recent[Row]) ask(ctx context.Context, generation int, ids []uuid.UUID,
	store func(context.Context, int, []uuid.UUID) ([]Row, error),
) ([]Row, error) {
	var known []Row
	var unknown []uuid.UUID
	for _, id := range ids {
		if row, ok := c.get(id); ok {
			known = append(known, row)
		} else {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return known, nil
	}
	rows, err := store(ctx, generation, unknown)
	return append(known, rows...), err
}
