package database_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"outlink/internal/testenv/database"
)

// TestNew: each database is new, and serializable.
func TestNew(t *testing.T) {
	for range 2 {
		conn, err := pgx.Connect(t.Context(), database.New(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(t.Context()) }()
		var isolation string
		if err := conn.QueryRow(t.Context(), "SHOW transaction_isolation").Scan(&isolation); err != nil || isolation != "serializable" {
			t.Errorf("transactions are %q, error %v", isolation, err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE t (a INT)"); err != nil {
			t.Error(err)
		}
	}
}
