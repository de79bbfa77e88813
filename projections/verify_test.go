package projections_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/projections"
	"outlink/projections/storetest"
)

// moving is a store whose projector has got on since its checkpoint was read.
type moving struct {
	*memory
	first, now uint64
	asked      int
}

func (m *moving) Position(context.Context, string, int) (projections.Position, error) {
	m.asked++
	at := projections.Position{Generation: projections.FirstGeneration, Sequence: m.now}
	if m.asked == 1 {
		at.Sequence = m.first
	}
	return at, nil
}

func (m *moving) ScanLinks(_ context.Context, _ int, after uuid.UUID, _ int) ([]projections.LinkRow, error) {
	if after != uuid.Nil {
		return nil, nil
	}
	return slices.SortedFunc(maps.Values(m.links), func(a, b projections.LinkRow) int { return slices.Compare(a.Link[:], b.Link[:]) }), nil
}

func (m *moving) ScanGrants(context.Context, int, uuid.UUID, int) ([]projections.GrantRow, error) {
	return nil, nil
}

// TestVerifyMovedRows: however many rows have moved, the log is read once more
// for all of them, and what is wrong with one is found.
func TestVerifyMovedRows(t *testing.T) {
	m, l := newMemory(), &storetest.Log{Batch: 3}
	for _, name := range []string{"a", "b", "c", "d"} {
		l.Link(name, link.Created{Config: link.Config{Name: name}})
	}
	first := l.Last()
	for _, name := range []string{"a", "b", "c"} {
		l.Link(name, link.Disabled{})
	}
	if err := engineOn(m, l).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	forged := m.links[storetest.LinkID("b")]
	forged.State.Name = "forged"
	ahead := m.links[storetest.LinkID("c")]
	ahead.Sequence = l.Last() + 100
	m.links[forged.Link], m.links[ahead.Link] = forged, ahead
	reads := 0
	counted := feed(func(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
		reads++
		return l.Follow(ctx, after, handle)
	})
	wrong := map[uuid.UUID]bool{}
	v := projections.Verification{
		Projection: projections.Links, Feed: counted, Store: &moving{memory: m, first: first, now: l.Last()},
		Differs: func(d projections.Difference) { wrong[d.ID] = true },
	}
	shards, err := v.Run(t.Context(), projections.FirstGeneration, 1)
	if err != nil || shards[0].Rows != 4 || !maps.Equal(wrong, map[uuid.UUID]bool{forged.Link: true, ahead.Link: true}) {
		t.Errorf("verified %+v, %v; %d rows differ: %v", shards, err, len(wrong), wrong)
	}
	if reads != 2 {
		t.Errorf("the log was read %d times, want 2", reads)
	}
}
