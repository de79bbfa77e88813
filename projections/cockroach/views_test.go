package cockroach_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"outlink/projections/storetest"
)

// What dashboards may rely on: the views' columns, in this order.
var columns = map[string]string{
	"links_list":     "link_id name provider status reason grants healthy retrying attention pending suspended next_expiry updated_at sequence",
	"grants_due":     "grant_id link_id subject status due_at expires_at generation failures deferred reauthorize sequence",
	"activity":       "sequence at type link_id grant_id actor data",
	"refresh_health": "provider links degraded healthy retrying attention next_expiry",
}

// The views have their documented columns and the rows of the active generation;
// a role that may read them reads nothing else.
func TestViews(t *testing.T) {
	s := onPostgres(t)
	storetest.Fill(t, s)
	for view, want := range columns {
		rows, err := s.Pool().Query(t.Context(), "SELECT * FROM "+view)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range rows.FieldDescriptions() {
			names = append(names, f.Name)
		}
		all, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil || len(all) == 0 || strings.Join(names, " ") != want {
			t.Errorf("%s has %d rows, error %v, columns\n%s, want\n%s", view, len(all), err, strings.Join(names, " "), want)
		}
	}
	role := "dashboards_" + strings.ToLower(t.Name())
	for _, statement := range []string{
		"CREATE ROLE " + role, "GRANT SELECT ON links_list, grants_due, activity, refresh_health TO " + role,
	} {
		if _, err := s.Pool().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_, _ = s.Pool().Exec(t.Context(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
	})
	for sql, allowed := range map[string]bool{
		"SELECT count(*) FROM links_list": true, "SELECT count(*) FROM refresh_health": true,
		"SELECT count(*) FROM links_g1": false, "SELECT count(*) FROM projections": false, "DELETE FROM links_list": false,
	} {
		err := pgx.BeginFunc(t.Context(), s.Pool(), func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE "+role); err != nil {
				t.Fatal(err)
			}
			_, err := tx.Exec(t.Context(), sql)
			return err
		})
		var refused *pgconn.PgError
		if denied := errors.As(err, &refused) && refused.Code == "42501"; denied == allowed {
			t.Errorf("%s as %s: %v", sql, role, err)
		}
	}
}
