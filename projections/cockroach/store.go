// Package cockroach keeps the read models in CockroachDB, for production, or in
// PostgreSQL, for small installations and in place of it in tests.
//
// All nodes share one database. The statements are in the dialect that both
// servers understand; a test refuses words that only one of them does. What
// differs is how a transaction is repeated: see inTx.
package cockroach

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"outlink/domain"
	"outlink/projections"
	"outlink/projections/tables"
)

// Store is a pool of connections to the database.
type Store struct {
	*tables.Reader
	pool      *pgxpool.Pool
	cockroach bool // the server is CockroachDB, not PostgreSQL
	bulk      int  // so many events at once are copied in
}

var _ projections.Store = (*Store)(nil)

// Connections are renewed, so that they spread over nodes that came later.
const (
	maxConnLifetime = 15 * time.Minute
	maxConnJitter   = 3 * time.Minute
	maxConnIdleTime = 5 * time.Minute
)

// Open connects to the database of a postgres:// URL. [Store.Migrate] creates
// the tables. The URL may set the pool: pool_max_conns and its like.
func Open(ctx context.Context, url string) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, domain.Errorf(domain.InvalidArgument, "parse the database URL: %v", err)
	}
	config.MaxConnLifetime, config.MaxConnLifetimeJitter, config.MaxConnIdleTime = maxConnLifetime, maxConnJitter, maxConnIdleTime
	config.AfterConnect = prepare
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	var version string
	if err := pool.QueryRow(ctx, `SELECT version()`).Scan(&version); err != nil {
		pool.Close()
		return nil, fmt.Errorf("ask the database who it is: %w", err)
	}
	s := &Store{pool: pool, cockroach: strings.Contains(version, "CockroachDB"), bulk: bulk}
	if s.cockroach {
		s.bulk = math.MaxInt // only measured on PostgreSQL
	}
	s.Reader = tables.NewReader(s.query)
	return s, nil
}

// prepare readies a new connection. A statement by itself sees one moment at any
// isolation, and PostgreSQL would refuse serializable ones that only read beside
// projectors (40001); what is a transaction says that it is serializable, see inTx.
// CockroachDB repeats such statements by itself.
func prepare(ctx context.Context, c *pgx.Conn) error {
	knowIDs(c.TypeMap())
	if c.PgConn().ParameterStatus("crdb_version") != "" {
		return nil
	}
	_, err := c.Exec(ctx, `SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED`)
	return err
}

// Close waits for running statements and closes all connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// query is the reader's way to the database.
func (s *Store) query(ctx context.Context, sql string, args []any, each func(scan func(dest ...any) error) error) error {
	return query(ctx, s.pool, sql, args, each)
}

// Snapshot shows the rows of one moment; see [projections.Snapshots]. On
// CockroachDB it is one of the past, which nobody contends for.
func (s *Store) Snapshot(ctx context.Context, read func(projections.Scanner) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		if s.cockroach {
			if _, err := tx.Exec(ctx, `SET TRANSACTION AS OF SYSTEM TIME '-1ms'`); err != nil {
				return fmt.Errorf("take a snapshot: %w", err)
			}
		}
		return read(tables.NewReader(func(ctx context.Context, sql string, args []any, each func(scan func(dest ...any) error) error) error {
			return query(ctx, tx, sql, args, each)
		}))
	})
}

func query(ctx context.Context, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, sql string, args []any, each func(scan func(dest ...any) error) error,
) error {
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = clean(arg)
		case []uuid.UUID:
			args[i] = ids(arg)
		}
	}
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// LinkRows returns those of the links that have a row.
func (s *Store) LinkRows(ctx context.Context, generation int, links []uuid.UUID) ([]projections.LinkRow, error) {
	return byID(ctx, s, tables.LinkDocs, tables.In(generation, tables.LinkQuestion+`link_id = ANY($1)`), links)
}

// GrantRows returns those of the grants that have a row.
func (s *Store) GrantRows(ctx context.Context, generation int, grants []uuid.UUID) ([]projections.GrantRow, error) {
	return byID(ctx, s, tables.Docs[projections.GrantRow], tables.In(generation, `SELECT doc FROM grants_gN WHERE grant_id = ANY($1)`), grants)
}

func byID[Row any](ctx context.Context, s *Store, docs tables.Answers[Row], sql string, ids []uuid.UUID) ([]Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return docs(ctx, s.query, sql, ids)
}
