package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"outlink/domain"
	"outlink/projections"
)

func testNotFound(t *testing.T, open Open) {
	s := migrated(t, open)
	project(t, s, new(Log).Grant("ghost/ann", begun("ann"))) // a grant whose link never was
	for _, name := range []string{"nobody", "ghost"} {
		_, err := s.Link(t.Context(), LinkID(name))
		wantCode(t, domain.NotFound, "link "+name, err)
	}
	_, err := s.Grant(t.Context(), GrantID("crm/nobody"))
	wantCode(t, domain.NotFound, "grant", err)
	_, err = s.Position(t.Context(), "links", 99)
	wantCode(t, domain.NotFound, "generation 99", err)
	if rows, _, err := s.Links(t.Context(), projections.LinkFilter{}); err != nil || len(rows) != 0 {
		t.Errorf("the list has %d links, error %v", len(rows), err)
	}
}

func testInvalid(t *testing.T, open Open) {
	s := migrated(t, open)
	crm := LinkID("crm")
	for what, ask := range map[string]func(context.Context) error{
		"negative limit": func(ctx context.Context) error {
			_, _, err := s.Links(ctx, projections.LinkFilter{Limit: -1})
			return err
		},
		"limit of links": func(ctx context.Context) error {
			_, _, err := s.Links(ctx, projections.LinkFilter{Limit: 501})
			return err
		},
		"cursor of links": func(ctx context.Context) error {
			_, _, err := s.Links(ctx, projections.LinkFilter{After: "page 2"})
			return err
		},
		"cursor of another order": func(ctx context.Context) error {
			_, _, err := s.Links(ctx, projections.LinkFilter{Expiring: time.Now(), After: "eyJzIjo5OX0"}) // {"s":99}
			return err
		},
		"status of links": func(ctx context.Context) error {
			_, _, err := s.Links(ctx, projections.LinkFilter{Status: "broken"})
			return err
		},
		"limit of grants": func(ctx context.Context) error {
			_, _, err := s.Grants(ctx, projections.GrantFilter{Link: crm, Limit: 501})
			return err
		},
		"cursor of grants": func(ctx context.Context) error {
			_, _, err := s.Grants(ctx, projections.GrantFilter{Link: crm, After: "?"})
			return err
		},
		"status of grants": func(ctx context.Context) error {
			_, _, err := s.Grants(ctx, projections.GrantFilter{Link: crm, Status: "degraded"})
			return err
		},
		"grants of no link": func(ctx context.Context) error {
			_, _, err := s.Grants(ctx, projections.GrantFilter{})
			return err
		},
		"activity of no link": func(ctx context.Context) error {
			_, err := s.Activity(ctx, projections.ActivityFilter{Grant: GrantID("crm/ann")})
			return err
		},
		"limit of activity": func(ctx context.Context) error {
			_, err := s.Activity(ctx, projections.ActivityFilter{Link: crm, Limit: 501})
			return err
		},
		"limit of due": func(ctx context.Context) error {
			_, _, err := s.Due(ctx, projections.DueFilter{Before: time.Now(), Limit: 10_001})
			return err
		},
		"cursor of due": func(ctx context.Context) error {
			_, _, err := s.Due(ctx, projections.DueFilter{Before: time.Now(), After: "nonsense"})
			return err
		},
	} {
		wantCode(t, domain.InvalidArgument, what, ask(t.Context()))
	}
}

// testMigrate: migrating again changes nothing, least of all what is stored.
func testMigrate(t *testing.T, open Open) {
	s, l := migrated(t, open), authorized(new(Log).Link("crm", created("CRM", "google")))
	project(t, s, l)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal("migrate again:", err)
	}
	equalToReplay(t, s, l.Records)
	for name, p := range positions(t, s) {
		if p.Generation != projections.FirstGeneration || p.Sequence != l.Last() || p.Problem != "" || p.UpdatedAt.IsZero() {
			t.Errorf("%s is at %+v, want sequence %d of generation 1", name, p, l.Last())
		}
	}
}

// testMigrateAtOnce: nodes that start together all find their tables.
func testMigrateAtOnce(t *testing.T, open Open) {
	s := open(t)
	start, errs := make(chan struct{}), make(chan error)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			<-start
			errs <- s.Migrate(t.Context())
		})
	}
	close(start)
	for range 4 {
		if err := <-errs; err != nil {
			t.Error("migrate:", err)
		}
	}
	all.Wait()
	if n := len(positions(t, s)); n != len(projections.All()) {
		t.Errorf("%d projections have a position", n)
	}
}

func testUnmigrated(t *testing.T, open Open) {
	s := open(t)
	if _, err := s.Link(t.Context(), LinkID("crm")); err == nil {
		t.Error("a store without tables finds a link")
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal("migrate:", err)
	}
	_, err := s.Link(t.Context(), LinkID("crm"))
	wantCode(t, domain.NotFound, "link, once there are tables", err)
}
