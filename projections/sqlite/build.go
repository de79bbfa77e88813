package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"outlink/domain"
	"outlink/projections"
	"outlink/projections/tables"
)

var _ projections.Builder = (*Store)(nil)

// inTx runs f in a transaction of the writing connection.
func (s *Store) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Begin makes a generation's tables; see [projections.Builder].
func (s *Store) Begin(ctx context.Context, g projections.Generation) (projections.Generation, error) {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT coalesce(max(generation), 0) + 1 FROM projections WHERE name = $1`, g.Projection).Scan(&g.Generation)
		if err != nil {
			return err
		}
		if err := run(ctx, tx, tables.GenerationFile(g.Projection), g.Generation, primary); err != nil {
			return err
		}
		g.State = projections.StateBuilding
		if _, err := tx.ExecContext(ctx, `INSERT INTO builds (name, generation, label, target, passes, passed) VALUES ($1, $2, $3, $4, $5, 0)`,
			g.Projection, g.Generation, g.Label, int64(g.Target), g.Passes); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO projections (name, generation, state, sequence, problem, updated_at) VALUES ($1, $2, $3, 0, '', $4)`,
			g.Projection, g.Generation, g.State, time.Now().UnixMicro())
		return err
	})
	if err != nil {
		return g, fmt.Errorf("begin a generation of %s: %w", g.Projection, err)
	}
	return g, nil
}

// Load stores rows in bulk; here that is what Apply does.
func (s *Store) Load(ctx context.Context, b projections.Batch, _ bool) error {
	if b.To > b.From {
		return s.Apply(ctx, b)
	}
	return s.inTx(ctx, func(tx *sql.Tx) error { return putAll(ctx, tx, b) })
}

// Record keeps how far a build has come.
func (s *Store) Record(ctx context.Context, g projections.Generation) error {
	_, err := s.write.ExecContext(ctx, `UPDATE builds SET begun = $3, passed = $4 WHERE name = $1 AND generation = $2`,
		g.Projection, g.Generation, g.Begun, g.Passed)
	return err
}

// Finish makes the indexes, sets the checkpoint and counts.
func (s *Store) Finish(ctx context.Context, g projections.Generation) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if err := run(ctx, tx, tables.GenerationFile(g.Projection), g.Generation, tables.Secondary); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, tables.MarkFinished, g.Projection, g.Generation)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE projections SET sequence = $3, updated_at = $4 WHERE name = $1 AND generation = $2 AND sequence < $3`,
			g.Projection, g.Generation, int64(g.Target), time.Now().UnixMicro())
		if err != nil || g.Projection != projections.Links.Name {
			return err
		}
		for _, statement := range tables.Recount {
			if _, err := tx.ExecContext(ctx, tables.In(g.Generation, statement)); err != nil {
				return fmt.Errorf("count the links: %w", err)
			}
		}
		return nil
	})
}

// Switch has readers use a generation that is loaded.
func (s *Store) Switch(ctx context.Context, projection string, generation int) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, tables.Retire, projection, generation); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, tables.Activate, projection, generation)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return tables.NotLoaded(projection, generation)
		}
		return views(ctx, tx)
	})
}

// Drop removes a generation that is not active.
func (s *Store) Drop(ctx context.Context, projection string, generation int) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, tables.Forget, projection, generation)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return tables.NotDroppable(projection, generation)
		}
		if _, err := tx.ExecContext(ctx, tables.ForgetBuild, projection, generation); err != nil {
			return err
		}
		for _, table := range tables.Of(projection, generation) {
			if _, err := tx.ExecContext(ctx, `DROP TABLE IF EXISTS `+table); err != nil {
				return domain.Errorf(domain.Unavailable, "drop %s: %v; its rows are out of use already", table, err)
			}
		}
		return nil
	})
}

// views has the views show the active generations.
func views(ctx context.Context, tx *sql.Tx) error {
	active, err := activeGenerations(ctx, tx)
	if err != nil {
		return err
	}
	statements, err := tables.Views(schema, active)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the views: %w", err)
		}
	}
	return nil
}

func activeGenerations(ctx context.Context, tx *sql.Tx) (map[string]int, error) {
	rows, err := tx.QueryContext(ctx, `SELECT name, generation FROM projections WHERE state = 'active'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	active := map[string]int{}
	for rows.Next() {
		var name string
		var generation int
		if err := rows.Scan(&name, &generation); err != nil {
			return nil, err
		}
		active[name] = generation
	}
	return active, rows.Err()
}
