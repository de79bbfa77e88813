package projections_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"outlink/domain"
	"outlink/projections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store of one projection in memory, whose calls can be made to fail.
type memory struct {
	mu      sync.Mutex // an engine asks while it stores
	at      projections.Position
	links   map[uuid.UUID]projections.LinkRow
	grants  map[uuid.UUID]projections.GrantRow
	batches []projections.Batch

	fail func(call string) error // nil: never
}

func newMemory() *memory {
	return &memory{
		at:    projections.Position{Generation: projections.FirstGeneration},
		links: map[uuid.UUID]projections.LinkRow{}, grants: map[uuid.UUID]projections.GrantRow{},
	}
}

func (m *memory) failed(call string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(call)
}

func (m *memory) Position(context.Context, string, int) (projections.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at, m.failed("position")
}

func (m *memory) Apply(_ context.Context, b projections.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failed("apply"); err != nil {
		return err
	}
	if b.From != m.at.Sequence {
		return projections.ErrFenced
	}
	m.at.Sequence, m.at.Problem, m.batches = b.To, "", append(m.batches, b)
	for _, row := range b.Links {
		m.links[row.Link] = row
	}
	for _, e := range b.Expiries {
		row := m.links[e.Link]
		row.NextExpiry = e.NextExpiry
		m.links[e.Link] = row
	}
	for _, row := range b.Grants {
		m.grants[row.Grant] = row
	}
	return nil
}

func (m *memory) Report(_ context.Context, p projections.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failed("report"); err != nil {
		return err
	}
	if p.Sequence != m.at.Sequence {
		return projections.ErrFenced
	}
	m.at.Problem = p.Problem
	return nil
}

func (m *memory) LinkRows(_ context.Context, _ int, ids []uuid.UUID) ([]projections.LinkRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return some(m.links, ids), m.failed("load")
}

func (m *memory) GrantRows(_ context.Context, _ int, ids []uuid.UUID) ([]projections.GrantRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return some(m.grants, ids), m.failed("load")
}

func some[Row any](rows map[uuid.UUID]Row, ids []uuid.UUID) []Row {
	var found []Row
	for _, id := range ids {
		if row, ok := rows[id]; ok {
			found = append(found, row)
		}
	}
	return found
}

func (m *memory) NextExpiries(_ context.Context, _ int, without map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[uuid.UUID]time.Time{}
	for link, grants := range without {
		for row := range maps.Values(m.grants) {
			ends := row.KeptUntil()
			if row.Link != link || ends.IsZero() || slices.Contains(grants, row.Grant) {
				continue
			}
			if first, ok := found[link]; !ok || ends.Before(first) {
				found[link] = ends
			}
		}
	}
	return found, m.failed("load")
}

// feed is a feed made of a function.
type feed func(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error

func (f feed) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	return f(ctx, after, handle)
}
