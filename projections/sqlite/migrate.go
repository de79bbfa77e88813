package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"outlink/projections"
	"outlink/projections/tables"
)

//go:embed schema/*.sql
var schema embed.FS

// Migrate brings the file's tables up to date. Here it is one transaction, which
// holds the write lock: others wait for it, and half of it never stays.
func (s *Store) Migrate(ctx context.Context) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to migrate: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := fixed(ctx, tx); err != nil {
		return err
	}
	if err := obsolete(ctx, tx); err != nil {
		return err
	}
	if err := later(ctx, tx); err != nil {
		return err
	}
	for _, p := range projections.All() {
		if err := create(ctx, tx, p.Name, projections.FirstGeneration); err != nil {
			return fmt.Errorf("create projection %s: %w", p.Name, err)
		}
	}
	if err := views(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit the migration: %w", err)
	}
	return nil
}

// fixed runs the schema files that are no generation's.
func fixed(ctx context.Context, tx *sql.Tx) error {
	const journal = `CREATE TABLE IF NOT EXISTS schema_migrations (file TEXT NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT`
	if _, err := tx.ExecContext(ctx, journal); err != nil {
		return fmt.Errorf("create schema_migrations: %w", err)
	}
	return once(ctx, tx, tables.FixedFiles, func(file string) error {
		return run(ctx, tx, file, projections.FirstGeneration, everything)
	})
}

// later runs the schema files of generations that an older version made.
func later(ctx context.Context, tx *sql.Tx) error {
	return once(ctx, tx, tables.LaterFiles, func(file string) error {
		return tables.Later(ctx, queryIn(tx), file, func(file string, generation int) error {
			return run(ctx, tx, file, generation, everything)
		})
	})
}

// queryIn asks in a transaction.
func queryIn(tx *sql.Tx) tables.Query {
	return func(ctx context.Context, sql string, args []any, each func(scan func(...any) error) error) error {
		return query(ctx, tx, sql, args, each)
	}
}

// once runs those of the schema files that have not been run yet.
func once(ctx context.Context, tx *sql.Tx, pattern string, run func(file string) error) error {
	files, err := fs.Glob(schema, pattern)
	if err != nil {
		return err
	}
	for _, file := range files {
		var done int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM schema_migrations WHERE file = $1`, file).Scan(&done)
		if err != nil || done > 0 {
			if err != nil {
				return fmt.Errorf("look up %s: %w", file, err)
			}
			continue
		}
		if err := run(file); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO schema_migrations (file, applied_at) VALUES ($1, $2)`, file, time.Now().UnixMicro())
		if err != nil {
			return fmt.Errorf("record %s: %w", file, err)
		}
	}
	return nil
}

// obsolete removes what an older version left.
func obsolete(ctx context.Context, tx *sql.Tx) error {
	statements, err := tables.Obsolete(ctx, queryIn(tx))
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("remove an older read model: %w", err)
		}
	}
	return nil
}

// create makes a generation's tables; the first of a projection becomes active.
func create(ctx context.Context, tx *sql.Tx, projection string, generation int) error {
	if err := run(ctx, tx, tables.GenerationFile(projection), generation, everything); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO projections (name, generation, state, sequence, problem, updated_at)
		SELECT $1, $2, CASE WHEN EXISTS (SELECT 1 FROM projections WHERE name = $1 AND state = 'active') THEN 'building' ELSE 'active' END, 0, '', $3
		WHERE true ON CONFLICT (name, generation) DO NOTHING`, projection, generation, time.Now().UnixMicro())
	return err
}

// primary is what is not secondary.
func primary(statement string) bool { return !tables.Secondary(statement) }

func everything(string) bool { return true }

// run runs those statements of a file that are wanted.
func run(ctx context.Context, tx *sql.Tx, file string, generation int, wanted func(string) bool) error {
	statements, err := tables.Statements(schema, file)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if !wanted(statement) {
			continue
		}
		if _, err := tx.ExecContext(ctx, tables.In(generation, statement)); err != nil {
			return fmt.Errorf("run %s: %w", file, err)
		}
	}
	return nil
}
