package cockroach

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"outlink/projections"
	"outlink/projections/tables"
)

//go:embed schema/*.sql
var schema embed.FS

// What migrating itself needs. CockroachDB has no advisory locks, so one node at
// a time holds a lease, and the others wait.
var own = []string{
	`CREATE TABLE IF NOT EXISTS schema_migrations (file TEXT NOT NULL PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS migration_lease (id BIGINT NOT NULL PRIMARY KEY, owner UUID NOT NULL, expires_at TIMESTAMPTZ NOT NULL)`,
}

const (
	takeLease = `INSERT INTO migration_lease (id, owner, expires_at) VALUES (1, $1, now() + INTERVAL '1 minute')
		ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
		WHERE migration_lease.owner = excluded.owner OR migration_lease.expires_at < now()`

	dropLease = `DELETE FROM migration_lease WHERE owner = $1`

	pointTo = `INSERT INTO projections (name, generation, state, sequence, problem, updated_at)
		VALUES ($1, $2, CASE WHEN EXISTS (SELECT 1 FROM projections WHERE name = $1 AND state = 'active') THEN 'building' ELSE 'active' END, 0, '', now())
		ON CONFLICT (name, generation) DO NOTHING`
)

// Migrate brings the tables up to date. Each statement stands alone, outside a
// transaction, and can be repeated: CockroachDB commits what comes before DDL.
func (s *Store) Migrate(ctx context.Context) error {
	for _, statement := range own {
		if err := s.ddl(ctx, statement); err != nil {
			return fmt.Errorf("prepare to migrate: %w", err)
		}
	}
	m := migration{Store: s, owner: uuid.New()}
	if err := m.wait(ctx); err != nil {
		return err
	}
	defer m.release(ctx)
	if err := m.fixed(ctx); err != nil {
		return err
	}
	if err := m.obsolete(ctx); err != nil {
		return err
	}
	if err := m.later(ctx); err != nil {
		return err
	}
	for _, p := range projections.All() {
		if err := m.create(ctx, p.Name, projections.FirstGeneration); err != nil {
			return fmt.Errorf("create projection %s: %w", p.Name, err)
		}
	}
	return s.views(ctx)
}

// migration is one Migrate, which holds the lease under its owner's name.
type migration struct {
	*Store
	owner uuid.UUID
}

const leasePoll = 100 * time.Millisecond

// wait takes the lease, as soon as nobody else has it.
func (m *migration) wait(ctx context.Context) error {
	for {
		err := m.lease(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errLeased) {
			m.release(ctx) // it may have been taken, and only the answer lost
			return err
		}
		pause(ctx, leasePoll)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for another node to migrate: %w", err)
		}
	}
}

var errLeased = errors.New("another node is migrating")

// lease takes or prolongs the lease.
func (m *migration) lease(ctx context.Context) error {
	taken, err := m.exec(ctx, takeLease, m.owner)
	if err == nil && taken != 1 {
		err = errLeased
	}
	if err != nil {
		return fmt.Errorf("lease the migration: %w", err)
	}
	return nil
}

// release gives the lease back, at the latest by its end.
func (m *migration) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = m.exec(ctx, dropLease, m.owner)
}

// fixed runs the schema files that are no generation's.
func (m *migration) fixed(ctx context.Context) error {
	return m.once(ctx, tables.FixedFiles, func(file string) error {
		return m.run(ctx, file, projections.FirstGeneration, everything)
	})
}

// later runs the schema files of generations that an older version made.
func (m *migration) later(ctx context.Context) error {
	return m.once(ctx, tables.LaterFiles, func(file string) error {
		return tables.Later(ctx, m.query, file, func(file string, generation int) error {
			return m.run(ctx, file, generation, everything)
		})
	})
}

// once runs those of the schema files that have not been run yet.
func (m *migration) once(ctx context.Context, pattern string, run func(file string) error) error {
	files, err := fs.Glob(schema, pattern)
	if err != nil {
		return err
	}
	for _, file := range files {
		var done bool
		err := m.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM schema_migrations WHERE file = $1)`, file).Scan(&done)
		if err != nil {
			return fmt.Errorf("look up %s: %w", file, err)
		}
		if done {
			continue
		}
		if err := run(file); err != nil {
			return err
		}
		_, err = m.exec(ctx, `INSERT INTO schema_migrations (file, applied_at) VALUES ($1, now()) ON CONFLICT (file) DO NOTHING`, file)
		if err != nil {
			return fmt.Errorf("record %s: %w", file, err)
		}
	}
	return nil
}

// obsolete removes what an older version left.
func (m *migration) obsolete(ctx context.Context) error {
	statements, err := tables.Obsolete(ctx, m.query)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if err := m.step(ctx, statement); err != nil {
			return fmt.Errorf("remove an older read model: %w", err)
		}
	}
	return nil
}

// create makes a generation's tables; the first of a projection becomes active.
func (m *migration) create(ctx context.Context, projection string, generation int) error {
	if err := m.run(ctx, tables.GenerationFile(projection), generation, everything); err != nil {
		return err
	}
	_, err := m.exec(ctx, pointTo, projection, generation)
	return err
}

// primary is what is not secondary.
func primary(statement string) bool { return !tables.Secondary(statement) }

func everything(string) bool { return true }

// run runs those statements of a file that are wanted.
func (m *migration) run(ctx context.Context, file string, generation int, wanted func(string) bool) error {
	statements, err := tables.Statements(schema, file)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if !wanted(statement) {
			continue
		}
		if err := m.step(ctx, tables.In(generation, statement)); err != nil {
			return fmt.Errorf("run %s: %w", file, err)
		}
	}
	return nil
}

// step runs one statement while the lease lasts.
func (m *migration) step(ctx context.Context, statement string) error {
	if err := m.lease(ctx); err != nil {
		return err
	}
	return m.ddl(ctx, statement)
}

// ddl runs a statement that can be repeated. Two nodes that create the same
// table at once may both be refused, IF NOT EXISTS or not: unique_violation,
// duplicate_table, duplicate_object.
func (s *Store) ddl(ctx context.Context, statement string) error {
	for try := 1; ; try++ {
		_, err := s.pool.Exec(ctx, statement)
		again := collided(err) || hasState(err, "23505", "42P07", "42710")
		if !again || try == maxTries || ctx.Err() != nil {
			return err
		}
		pause(ctx, time.Duration(try)*time.Millisecond)
	}
}
