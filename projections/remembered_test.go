package projections_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/link"
	"outlink/projections"
	"outlink/projections/storetest"
)

// asked counts the rows that an engine asks for.
type asked struct {
	projections.Store
	rows int
}

func (a *asked) LinkRows(ctx context.Context, generation int, ids []uuid.UUID) ([]projections.LinkRow, error) {
	a.rows += len(ids)
	return a.Store.LinkRows(ctx, generation, ids)
}

// overtaken has another projector store every third batch first, and the next.
type overtaken struct {
	projections.Store
	other   func(upTo uint64)
	batches int
}

func (o *overtaken) Apply(ctx context.Context, b projections.Batch) error {
	if o.batches++; o.batches%3 == 0 {
		o.other(b.To + 5)
	}
	return o.Store.Apply(ctx, b)
}

// TestEngineRemembersRows: a row that the engine stored is not asked for again,
// until another projector works beside it.
func TestEngineRemembersRows(t *testing.T) {
	l := (&storetest.Log{Batch: 1}).Link("crm", link.Created{})
	for range 10 {
		l.Link("crm", link.Disabled{}).Link("crm", link.Enabled{})
	}
	follow := func(s projections.Store, upTo uint64) {
		part := &storetest.Log{Batch: 1}
		for _, r := range l.Records {
			if r.Sequence <= upTo {
				part.Records = append(part.Records, r)
			}
		}
		e := projections.Engine{
			Projection: projections.Links, Feed: part, Store: s, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Backoff: func(int) time.Duration { return time.Microsecond }, Standby: time.Microsecond,
		}
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	alone := &asked{Store: newMemory()}
	follow(alone, l.Last())
	if alone.rows != 1 {
		t.Errorf("of one link that was stored 21 times %d rows are read, want 1", alone.rows)
	}
	m := newMemory()
	beside := &asked{Store: &overtaken{Store: m, other: func(upTo uint64) { follow(m, upTo) }}}
	follow(beside, l.Last())
	rows, err := m.LinkRows(t.Context(), 1, []uuid.UUID{storetest.LinkID("crm")})
	if err != nil || len(rows) != 1 || rows[0].State.Version != 21 {
		t.Errorf("beside another projector the row is %+v, error %v", rows, err)
	}
}
