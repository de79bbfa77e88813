package cockroach_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	crdbpgx "github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"outlink/internal/testenv/database"
	"outlink/projections/cockroach"
)

// onPostgres opens a store on a PostgreSQL with the given tables.
func onPostgres(t *testing.T, tables ...string) *cockroach.Store {
	t.Helper()
	s := open(t, database.New(t))
	if s.OnCockroachDB() {
		t.Skip("not run on CockroachDB: it is about PostgreSQL")
	}
	for _, table := range tables {
		if _, err := s.Pool().Exec(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func count(t *testing.T, s *cockroach.Store, sql string) (n int) {
	t.Helper()
	if err := s.Pool().QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCommitIsChecked: a deferred constraint is violated at COMMIT, where
// nothing is stored. ExecuteTx of cockroach-go would say that all is well.
func TestCommitIsChecked(t *testing.T) {
	s := onPostgres(t,
		`CREATE TABLE parents (id BIGINT PRIMARY KEY)`,
		`CREATE TABLE children (parent BIGINT NOT NULL REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`)
	orphan := func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO children (parent) VALUES (1)`)
		return err
	}

	err := s.InTx(t.Context(), orphan)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "23503" {
		t.Errorf("a transaction that the server did not commit ended with %v, want foreign_key_violation", err)
	}
	if n := count(t, s, `SELECT count(*) FROM children`); n != 0 {
		t.Errorf("%d rows are there", n)
	}

	err = crdbpgx.ExecuteTx(t.Context(), s.Pool(), pgx.TxOptions{}, orphan)
	if n := count(t, s, `SELECT count(*) FROM children`); err != nil || n != 0 {
		t.Errorf("ExecuteTx no longer loses writes on PostgreSQL (error %v, %d rows): inTx may be simplified", err, n)
	}
}

// TestCollisionIsRepeated: 40001 at the first try, and all is well at the second.
func TestCollisionIsRepeated(t *testing.T) {
	s := onPostgres(t, `CREATE TABLE tries (n BIGINT)`)
	for _, state := range []string{"40001", "40P01"} {
		tries := 0
		err := s.InTx(t.Context(), func(tx pgx.Tx) error {
			tries++
			if _, err := tx.Exec(t.Context(), `INSERT INTO tries (n) VALUES ($1)`, tries); err != nil || tries > 1 {
				return err
			}
			_, err := tx.Exec(t.Context(), `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '`+state+`'; END $$`)
			return err
		})
		if err != nil || tries != 2 {
			t.Errorf("%s: %d tries, error %v", state, tries, err)
		}
	}
	if n := count(t, s, `SELECT count(*) FROM tries WHERE n = 2`); n != 2 || count(t, s, `SELECT count(*) FROM tries`) != 2 {
		t.Errorf("%d second tries are stored", n)
	}
}

// TestCollisionForEver: repeating ends, with what the server said.
func TestCollisionForEver(t *testing.T) {
	s := onPostgres(t)
	tries := 0
	collide := func(tx pgx.Tx) error {
		tries++
		_, err := tx.Exec(context.WithoutCancel(t.Context()), `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$`)
		return err
	}
	var refused *pgconn.PgError
	if err := s.InTx(t.Context(), collide); !errors.As(err, &refused) || refused.Code != "40001" || tries != cockroach.MaxTries {
		t.Errorf("after %d tries: %v", tries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tries = 0
	err := s.InTx(ctx, func(tx pgx.Tx) error {
		cancel()
		return collide(tx)
	})
	if err == nil || tries != 1 {
		t.Errorf("a transaction whose context ended was tried %d times, error %v", tries, err)
	}
}

// TestWriteSkew: two transactions that each read what the other writes. The
// server notices at COMMIT; one of them is repeated and sees the other's write.
func TestWriteSkew(t *testing.T) {
	const rounds = 20
	s := onPostgres(t, `CREATE TABLE duty (round BIGINT, doctor BIGINT, PRIMARY KEY (round, doctor))`)
	for round := range rounds {
		var read, all sync.WaitGroup
		read.Add(2)
		for doctor := range 2 {
			all.Go(func() {
				first := true
				err := s.InTx(t.Context(), func(tx pgx.Tx) error {
					var n int
					err := tx.QueryRow(t.Context(), `SELECT count(*) FROM duty WHERE round = $1`, round).Scan(&n)
					if first {
						first = false
						read.Done()
						read.Wait() // both have read before either writes
					}
					if err != nil || n > 0 {
						return err
					}
					_, err = tx.Exec(t.Context(), `INSERT INTO duty (round, doctor) VALUES ($1, $2)`, round, doctor)
					return err
				})
				if err != nil {
					t.Error("transaction:", err)
				}
			})
		}
		all.Wait()
	}
	if n := count(t, s, `SELECT count(*) FROM duty`); n != rounds {
		t.Errorf("%d are on duty in %d rounds, want one each", n, rounds)
	}
}

// TestReadsAreNotRefused: where transactions are serializable by default, the
// server would refuse reads beside projectors now and then (40001); what the store
// does in a transaction is serializable all the same.
func TestReadsAreNotRefused(t *testing.T) {
	s := onPostgres(t)
	var alone, together string
	err := s.Pool().QueryRow(t.Context(), `SHOW transaction_isolation`).Scan(&alone)
	if err != nil || alone != "read committed" {
		t.Errorf("a statement by itself is %s, error %v", alone, err)
	}
	err = s.InTx(t.Context(), func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), `SHOW transaction_isolation`).Scan(&together)
	})
	if err != nil || together != "serializable" {
		t.Errorf("a transaction is %s, error %v", together, err)
	}
}
