package projections_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
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

// cut is a log in batches of these lengths.
type cut struct {
	*storetest.Log
	lengths []int
}

func (c *cut) here() {
	n := len(c.Records)
	for _, before := range c.lengths {
		n -= before
	}
	c.lengths = append(c.lengths, n)
}

func (c *cut) Follow(ctx context.Context, _ uint64, handle func(context.Context, []domain.Record) error) error {
	rest := c.Records
	for _, n := range c.lengths {
		if err := handle(ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// late is a store that takes its time before it stores something.
type late struct{ projections.Store }

func (l late) Apply(ctx context.Context, b projections.Batch) error {
	time.Sleep(time.Second) // of the bubble
	return l.Store.Apply(ctx, b)
}

// TestUsedRowsAreRemembered: the link of a grant that was renewed by the batch underway
// has the expiry that this gives it, however many other links were used meanwhile.
func TestUsedRowsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := newMemory(), &cut{Log: new(storetest.Log)}
		links := 0
		others := func(n int) {
			for range n {
				links++
				l.Link(fmt.Sprint("other ", links), link.Created{})
			}
		}
		token := func(subject string, generation uint64, hours time.Duration) {
			l.Grant("crm/"+subject, grant.TokenIssued{Subject: subject, Generation: generation, ExpiresAt: storetest.Noon.Add(hours * time.Hour)})
		}
		l.Link("crm", link.Created{})
		token("a", 1, 1)
		token("b", 1, 2)
		token("c", 1, 3)
		l.here()
		for range 18 {
			others(2000)
			l.here()
		}
		others(1000)
		l.here()
		token("a", 2, 9)
		others(1999)
		l.here()
		l.Grant("crm/c", grant.Suspended{})
		l.here()
		e := engineOn(m, l)
		e.Store = late{m}
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if next := m.links[storetest.LinkID("crm")].NextExpiry; !next.Equal(storetest.Noon.Add(2 * time.Hour)) {
			t.Errorf("the next expiry is %v", next)
		}
	})
}
