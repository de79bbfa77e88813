// Package sqlite keeps the read models in one SQLite file: the embedded store,
// for one node.
//
// One connection writes and a small pool reads (WAL). After a power cut the
// file may have lost its last transactions, never parts of one: rows and
// checkpoint move together, so the projections catch up from the log.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"outlink/projections"
	"outlink/projections/tables"
)

// Store is an open file.
type Store struct {
	*tables.Reader
	write *sql.DB
	read  *sql.DB
}

var _ projections.Store = (*Store)(nil)

// Open opens the file, creating it if need be. [Store.Migrate] creates the tables.
func Open(ctx context.Context, path string) (*Store, error) {
	write, err := open(ctx, path, 1)
	if err != nil {
		return nil, err
	}
	read, err := open(ctx, path, max(4, runtime.GOMAXPROCS(0)))
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	s := &Store{write: write, read: read}
	s.Reader = tables.NewReader(s.query)
	return s, nil
}

// Close waits for running statements and closes the file.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// open gives a pool whose connections are all set up alike. The larger
// wal_autocheckpoint doubles the throughput of small batches (measured); a
// transaction takes the write lock at its start, so that it cannot fail later.
func open(ctx context.Context, path string, connections int) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(16384)"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// query is the reader's way to the file.
func (s *Store) query(ctx context.Context, sql string, args []any, each func(scan func(dest ...any) error) error) error {
	return query(ctx, s.read, sql, args, each)
}

// Snapshot shows the rows of one moment; see [projections.Snapshots].
func (s *Store) Snapshot(ctx context.Context, read func(projections.Scanner) error) error {
	connection, err := s.read.Conn(ctx)
	if err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := connection.ExecContext(ctx, `BEGIN`); err != nil { // deferred: a transaction of the driver would lock out the writer
		return fmt.Errorf("take a snapshot: %w", err)
	}
	defer func() { _, _ = connection.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`) }()
	return read(tables.NewReader(func(ctx context.Context, sql string, args []any, each func(scan func(dest ...any) error) error) error {
		return query(ctx, connection, sql, args, each)
	}))
}

func query(ctx context.Context, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, sql string, args []any, each func(scan func(dest ...any) error) error,
) error {
	rows, err := db.QueryContext(ctx, sql, columns(args)...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// columns makes arguments what the tables hold: ids of 16 bytes, and times in
// microseconds.
func columns(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case uuid.UUID:
			out[i] = v[:]
		case time.Time:
			out[i] = v.UnixMicro()
		default:
			out[i] = v
		}
	}
	return out
}

// orNull is a time as a column, where zero means never.
func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
