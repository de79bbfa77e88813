package projections

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// remembered gives an engine the rows that it used last, without asking the store.
// They are what the store holds, or will when the batch is stored that is underway, as
// long as no other projector works beside: whoever is fenced, or fails in any other
// way, forgets them.
type remembered struct {
	Store
	links  recent[LinkRow]
	grants recent[GrantRow]
	last   []GrantRow // of the last batch: the store may not have them yet
}

func remember(s Store) *remembered { return &remembered{Store: s} }

func (m *remembered) forget() { *m = *remember(m.Store) }

// stored takes note of the rows of a batch that is in the store, or will be before
// the next one is.
func (m *remembered) stored(b Batch) {
	m.last = b.Grants
	for _, row := range b.Links {
		m.links.put(row.Link, row)
	}
	for _, e := range b.Expiries {
		if row, ok := m.links.use(e.Link); ok {
			row.NextExpiry = e.NextExpiry
			m.links.put(e.Link, row)
		}
	}
	for _, row := range b.Grants {
		m.grants.put(row.Grant, row)
	}
}

func (m *remembered) LinkRows(ctx context.Context, generation int, ids []uuid.UUID) ([]LinkRow, error) {
	return m.links.ask(ctx, generation, ids, m.Store.LinkRows, func(r LinkRow) uuid.UUID { return r.Link })
}

func (m *remembered) GrantRows(ctx context.Context, generation int, ids []uuid.UUID) ([]GrantRow, error) {
	return m.grants.ask(ctx, generation, ids, m.Store.GrantRows, func(r GrantRow) uuid.UUID { return r.Grant })
}

// NextExpiries has the store leave out the grants of the last batch too, whether it
// has them or not.
func (m *remembered) NextExpiries(ctx context.Context, generation int, without map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	all, leftOut := make(map[uuid.UUID][]uuid.UUID, len(without)), map[uuid.UUID]bool{}
	for link, grants := range without {
		all[link] = slices.Clip(grants) // so that they stay as they are
		for _, g := range grants {
			leftOut[g] = true
		}
	}
	known := map[uuid.UUID]time.Time{}
	for _, row := range m.last {
		if grants, asked := all[row.Link]; asked && !leftOut[row.Grant] {
			all[row.Link] = append(grants, row.Grant)
			known[row.Link] = earliest(known[row.Link], row.KeptUntil())
		}
	}
	found, err := m.Store.NextExpiries(ctx, generation, all)
	for link, expiry := range known {
		if first := earliest(found[link], expiry); err == nil && !first.IsZero() {
			found[link] = first
		}
	}
	return found, err
}

// recentRows is how many rows of a kind are remembered at least, and half of how
// many at most: some thirty megabytes. It is far more than two batches use, so that
// what the one underway uses is there for the next.
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

// use returns a row, which is a young one then.
func (c *recent[Row]) use(id uuid.UUID) (Row, bool) {
	if row, ok := c.young[id]; ok {
		return row, true
	}
	row, ok := c.old[id]
	if ok {
		c.put(id, row)
	}
	return row, ok
}

// ask asks the store for what is not remembered, and remembers it: what a batch
// that is underway changes of a row must be found here.
func (c *recent[Row]) ask(ctx context.Context, generation int, ids []uuid.UUID,
	store func(context.Context, int, []uuid.UUID) ([]Row, error), id func(Row) uuid.UUID,
) ([]Row, error) {
	var known []Row
	var unknown []uuid.UUID
	for _, id := range ids {
		if row, ok := c.use(id); ok {
			known = append(known, row)
		} else {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 0 {
		return known, nil
	}
	rows, err := store(ctx, generation, unknown)
	for _, row := range rows {
		c.put(id(row), row)
	}
	return append(known, rows...), err
}
