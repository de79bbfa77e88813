package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"outlink/domain/link"
	"outlink/projections"
	"outlink/projections/sqlite"
	"outlink/projections/storetest"
)

func TestSmoke(t *testing.T) {
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "a b?.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var l storetest.Log
	l.Link("crm", link.Created{Config: link.Config{Name: "CRM", Provider: "google"}, At: storetest.Noon})
	for _, p := range projections.All() {
		e := projections.Engine{Projection: p, Feed: &l, Store: s, Log: slog.Default()}
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(s.Links(t.Context(), projections.LinkFilter{Text: "cr", Limit: 1}))
	t.Log(s.Links(t.Context(), projections.LinkFilter{Provider: "google"}))
	t.Log(s.Positions(t.Context()))
	t.Log(s.Activity(t.Context(), projections.ActivityFilter{Link: storetest.LinkID("crm")}))
	t.Log(projections.Dump(t.Context(), s))
}
