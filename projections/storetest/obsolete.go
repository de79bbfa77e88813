package storetest

import "testing"

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
