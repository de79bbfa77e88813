package cockroach

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"outlink/projections"
	"outlink/projections/tables"
)

var _ projections.Builder = (*Store)(nil)

// Begin makes a generation's tables; see [projections.Builder]. The rows that
// make it known come last: before them nothing uses the tables.
func (s *Store) Begin(ctx context.Context, g projections.Generation) (projections.Generation, error) {
	m := migration{Store: s, owner: uuid.New()} // two that begin at once would take the same number
	if err := m.wait(ctx); err != nil {
		return g, err
	}
	defer m.release(ctx)
	err := s.pool.QueryRow(ctx, `SELECT coalesce(max(generation), 0) + 1 FROM projections WHERE name = $1`, g.Projection).Scan(&g.Generation)
	if err != nil {
		return g, fmt.Errorf("number a generation of %s: %w", g.Projection, err)
	}
	if err := m.run(ctx, tables.GenerationFile(g.Projection), g.Generation, primary); err != nil {
		return g, err
	}
	if err := m.key(ctx, g, dropKey); err != nil {
		return g, err
	}
	g.State = projections.StateBuilding
	return g, s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO builds (name, generation, label, target, passes, passed) VALUES ($1, $2, $3, $4, $5, 0)`,
			g.Projection, g.Generation, g.Label, int64(g.Target), g.Passes); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO projections (name, generation, state, sequence, problem, updated_at) VALUES ($1, $2, $3, 0, '', now())`,
			g.Projection, g.Generation, g.State)
		return err
	})
}

const (
	dropKey = `ALTER TABLE activity_gN DROP CONSTRAINT IF EXISTS activity_gN_pkey`
	addKey  = `ALTER TABLE activity_gN ADD PRIMARY KEY (link_id, sequence)`
)

// key has PostgreSQL make the timeline's key when its rows are there, sorted: each
// comes once, with the checkpoint. CockroachDB stores rows by their key.
func (m *migration) key(ctx context.Context, g projections.Generation, change string) error {
	if m.cockroach || g.Projection != projections.Activity.Name {
		return nil
	}
	if err := m.step(ctx, tables.In(g.Generation, change)); err != nil {
		return fmt.Errorf("the key of the timeline: %w", err)
	}
	return nil
}

// Load copies rows in, in one transaction with the checkpoint. Rows that may be
// there already go the way that replaces them.
func (s *Store) Load(ctx context.Context, b projections.Batch, again bool) error {
	if again && b.To == b.From {
		return s.merge(ctx, b)
	}
	tables, err := copied(b)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if b.To > b.From {
			tag, err := tx.Exec(ctx, advance, b.Projection, b.Generation, int64(b.From), int64(b.To), time.Now())
			if err == nil && tag.RowsAffected() != 1 {
				err = projections.ErrFenced
			}
			if err != nil {
				return fmt.Errorf("move the checkpoint of %s: %w", b.Projection, err)
			}
		}
		for _, t := range tables {
			if err := t.run(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// merge stores rows as a projector does, but leaves the checkpoint alone.
func (s *Store) merge(ctx context.Context, b projections.Batch) error {
	all, err := statements(b)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		for _, q := range all[1:] {
			if _, err := tx.Exec(ctx, tables.In(b.Generation, q.sql), q.args...); err != nil {
				return fmt.Errorf("load rows of %s: %w", b.Projection, err)
			}
		}
		return nil
	})
}

var (
	linkNames     = []string{"link_id", "sequence", "changed", "status", "provider", "health", "name_lower", "updated_at", "doc"}
	expiryNames   = []string{"link_id", "status", "provider", "health", "name_lower", "next_expiry"}
	grantNames    = []string{"grant_id", "link_id", "sequence", "status", "subject", "due_at", "expires_at", "kept_until", "updated_at", "doc"}
	activityNames = []string{"link_id", "sequence", "grant_id", "type", "at", "nanos", "id", "version", "actor", "correlation", "causation", "traceparent", "hash", "data"}
)

// copied are the batch's columns as projectors store them, table by table.
func copied(b projections.Batch) ([]copying, error) {
	var all []copying
	for _, t := range []struct {
		table string
		names []string
		make  func() (statement, error)
		rows  int
	}{
		{"links_gN", linkNames, func() (statement, error) { return linkDocuments(b.Links) }, len(b.Links)},
		{"link_expiries_gN", expiryNames, func() (statement, error) { return expiries(b.Expiries), nil }, len(b.Expiries)},
		{"grants_gN", grantNames, func() (statement, error) { return putGrantRows("", b.Grants) }, len(b.Grants)},
		{"activity_gN", activityNames, func() (statement, error) { return events(b.Activity), nil }, len(b.Activity)},
	} {
		if t.rows == 0 {
			continue
		}
		columns, err := t.make()
		if err != nil {
			return nil, err
		}
		all = append(all, copying{tables.In(b.Generation, t.table), t.names, columns.args, t.rows})
	}
	return all, nil
}

// linkDocuments is putLinkRows for COPY, which casts nothing.
func linkDocuments(rows []projections.LinkRow) (statement, error) {
	q, err := putLinkRows("", rows)
	if err == nil {
		last := len(q.args) - 1
		q.args[last] = documents(q.args[last].(pgtype.FlatArray[[]byte]))
	}
	return q, err
}

// Record keeps how far a build has come.
func (s *Store) Record(ctx context.Context, g projections.Generation) error {
	_, err := s.exec(ctx, `UPDATE builds SET begun = $3, passed = $4 WHERE name = $1 AND generation = $2`,
		g.Projection, g.Generation, g.Begun, g.Passed)
	return err
}

// Finish makes the indexes, sets the checkpoint and counts.
func (s *Store) Finish(ctx context.Context, g projections.Generation) error {
	m := migration{Store: s, owner: uuid.New()}
	if err := m.wait(ctx); err != nil {
		return err
	}
	defer m.release(ctx)
	if err := m.key(ctx, g, addKey); err != nil && !hasState(err, "42P16") { // it has one: Finish was cut off
		return err
	}
	if err := m.run(ctx, tables.GenerationFile(g.Projection), g.Generation, tables.Secondary); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, tables.MarkFinished, g.Projection, g.Generation)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE projections SET sequence = $3, updated_at = now() WHERE name = $1 AND generation = $2 AND sequence < $3`,
			g.Projection, g.Generation, int64(g.Target))
		if err != nil || g.Projection != projections.Links.Name {
			return err
		}
		for _, statement := range tables.Recount {
			if _, err := tx.Exec(ctx, tables.In(g.Generation, statement)); err != nil {
				return fmt.Errorf("count the links: %w", err)
			}
		}
		return nil
	})
}

// Switch has readers use a generation that is loaded: DML, for CockroachDB
// commits what stands before DDL. The views follow.
func (s *Store) Switch(ctx context.Context, projection string, generation int) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, tables.Retire, projection, generation); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, tables.Activate, projection, generation)
		if err == nil && tag.RowsAffected() != 1 {
			err = tables.NotLoaded(projection, generation)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.views(ctx)
}

// views has the views show the active generations.
func (s *Store) views(ctx context.Context) error {
	positions, err := s.Positions(ctx)
	if err != nil {
		return err
	}
	active := map[string]int{}
	for _, p := range positions {
		active[p.Projection] = p.Generation
	}
	statements, err := tables.Views(schema, active)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if err := s.ddl(ctx, statement); err != nil {
			return fmt.Errorf("make the views: %w", err)
		}
	}
	return nil
}

// Drop removes a generation that is not active.
func (s *Store) Drop(ctx context.Context, projection string, generation int) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, tables.Forget, projection, generation)
		if err == nil && tag.RowsAffected() != 1 {
			err = tables.NotDroppable(projection, generation)
		}
		if err == nil {
			_, err = tx.Exec(ctx, tables.ForgetBuild, projection, generation)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, table := range tables.Of(projection, generation) {
		if err := s.ddl(ctx, `DROP TABLE IF EXISTS `+table); err != nil {
			return fmt.Errorf("drop %s, whose rows are out of use already: %w", table, err)
		}
	}
	return nil
}
