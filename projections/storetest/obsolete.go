package storetest

import (
	"testing"
	"time"

	"outlink/projections"
)

// testObsolete: a read model of a version that kept grants by themselves is
// emptied when it is migrated, and filled anew.
func testObsolete(t *testing.T, open Open) {
	s, l := migrated(t, open), authorized(new(Log).Link("crm", created("CRM", "google")))
	project(t, s, l)
	for _, statement := range []string{
		`INSERT INTO projections (name, generation, state, sequence, problem, updated_at) SELECT 'grants', generation, state, sequence, problem, updated_at FROM projections WHERE name = 'links'`,
		`CREATE TABLE link_grants_g1 (grant_id BIGINT)`,
	} {
		if err := s.(damaging).Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	at := positions(t, s)
	if len(at) != 2 || at["links"].Sequence != 0 || at["activity"].Sequence != 0 {
		t.Errorf("the projections are at %+v", at)
	}
	if err := s.(damaging).Exec(t.Context(), `SELECT 1 FROM link_grants_g1`); err == nil {
		t.Error("the old table is still there")
	}
	project(t, s, l)
	equalToReplay(t, s, l.Records)
}

// testExpiriesMoved: a generation of a version that kept the next expiry in the
// links' rows gets them where they are now, and nobody has to rebuild it.
func testExpiriesMoved(t *testing.T, open Open) {
	s, l := migrated(t, open), authorized(new(Log).Link("crm", created("CRM", "google"))).Link("erp", created("ERP", "custom"))
	project(t, s, l)
	exec := func(statement string) error { return s.(damaging).Exec(t.Context(), statement) }
	if exec(`ALTER TABLE links_g1 ADD COLUMN next_expiry TIMESTAMPTZ`) != nil { // as SQLite does not call it
		if err := exec(`ALTER TABLE links_g1 ADD COLUMN next_expiry INTEGER`); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range []string{
		`UPDATE links_g1 SET next_expiry = (SELECT e.next_expiry FROM link_expiries_g1 e WHERE e.link_id = links_g1.link_id)`,
		`CREATE INDEX links_g1_expiry ON links_g1 (status, next_expiry, link_id)`,
		`DROP VIEW links_list`, `DROP VIEW refresh_health`, `DROP TABLE link_expiries_g1`,
		`DELETE FROM schema_migrations WHERE file LIKE 'schema/gN%'`,
	} {
		if err := exec(statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	for range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	equalToReplay(t, s, l.Records)
	if rows, _, err := s.Links(t.Context(), projections.LinkFilter{Expiring: Noon.Add(48 * time.Hour)}); err != nil || len(rows) != 1 {
		t.Errorf("%d links expire, error %v", len(rows), err)
	}
	if exec(`CREATE INDEX links_g1_expiry ON links_g1 (link_id)`) != nil {
		t.Error("the old index is still there")
	}
	project(t, s, l.Link("crm", created("CRM", "google")))
}
