package tables

import (
	"context"
	"fmt"
	"time"

	"outlink/domain"
	"outlink/projections"
)

// Positions lists the active generation of every projection.
func (r *Reader) Positions(ctx context.Context) ([]projections.Position, error) {
	return r.positions(ctx, `WHERE state = 'active' ORDER BY name`)
}

// Position says how far a generation of a projection has come, active or not.
func (r *Reader) Position(ctx context.Context, projection string, generation int) (projections.Position, error) {
	all, err := r.positions(ctx, `WHERE name = $1 AND generation = $2`, projection, generation)
	switch {
	case err != nil:
		return projections.Position{}, err
	case len(all) == 0:
		return projections.Position{}, domain.Errorf(domain.NotFound, "generation %d of projection %q does not exist; see: outlink projection ls", generation, projection)
	}
	return all[0], nil
}

func (r *Reader) positions(ctx context.Context, where string, args ...any) ([]projections.Position, error) {
	var all []projections.Position
	sql := `SELECT name, generation, sequence, problem, updated_at FROM projections ` + where
	err := r.query(ctx, sql, args, func(scan func(...any) error) error {
		var p projections.Position
		var sequence int64
		var at instant
		err := scan(&p.Projection, &p.Generation, &sequence, &p.Problem, &at)
		p.Sequence, p.UpdatedAt = uint64(sequence), time.Time(at)
		all = append(all, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	return all, nil
}

// Generations lists all generations of all projections, oldest first.
func (r *Reader) Generations(ctx context.Context) ([]projections.Generation, error) {
	var all []projections.Generation
	const sql = `SELECT p.name, p.generation, p.state, p.sequence, p.problem, p.updated_at,
			coalesce(b.label, ''), coalesce(b.target, 0), coalesce(b.passes, 0), coalesce(b.begun, 0), coalesce(b.passed, 0), coalesce(b.finished, 1)
		FROM projections p LEFT JOIN builds b ON b.name = p.name AND b.generation = p.generation ORDER BY p.name, p.generation`
	err := r.query(ctx, sql, nil, func(scan func(...any) error) error {
		var g projections.Generation
		var sequence, target, finished int64
		var at instant
		err := scan(&g.Projection, &g.Generation, &g.State, &sequence, &g.Problem, &at, &g.Label, &target, &g.Passes, &g.Begun, &g.Passed, &finished)
		g.Finished = finished != 0
		g.Sequence, g.Target, g.UpdatedAt = uint64(sequence), uint64(target), time.Time(at)
		all = append(all, g)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	return all, nil
}

// instant reads a time from either kind of column: a timestamp, or microseconds
// since 1970.
type instant time.Time

// Scan implements sql.Scanner.
func (i *instant) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		*i = instant(time.UnixMicro(v).UTC())
	case time.Time:
		*i = instant(v.UTC())
	case nil: // never
		*i = instant{}
	default:
		return fmt.Errorf("%T is no time", src)
	}
	return nil
}
