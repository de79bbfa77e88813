package cockroach

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// InTx lets tests run transactions as the store does.
func (s *Store) InTx(ctx context.Context, fn func(pgx.Tx) error) error { return s.inTx(ctx, fn) }

// Pool lets tests look at the tables.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// MaxTries bounds the repetitions of one transaction.
const MaxTries = maxTries

// JSONB makes a document what JSONB takes.
func JSONB(doc []byte) []byte { return jsonb(doc) }

// OnCockroachDB reports which server it is.
func (s *Store) OnCockroachDB() bool { return s.cockroach }

// CopyAll has the store copy in whatever it can.
func (s *Store) CopyAll() *Store {
	s.bulk = 1
	return s
}

// Exec lets tests change the tables.
func (s *Store) Exec(ctx context.Context, sql string) error {
	_, err := s.pool.Exec(ctx, sql)
	return err
}
