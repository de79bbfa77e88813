package projections

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/google/uuid"

	"outlink/domain"
)

// Verification compares the rows of a generation of links or grants with the
// log. It may run beside projectors: the rows that have moved on meanwhile are set
// aside, and compared in one more replay, each up to what it has seen. All fields
// are required.
type Verification struct {
	Projection Projection
	Feed       Feed
	Store      Verified

	// Differs is called with each difference.
	Differs func(Difference)
}

// Verified is what a verification reads.
type Verified interface {
	Scanner
	Position(ctx context.Context, projection string, generation int) (Position, error)
}

// Difference is a row that is not what the log says.
type Difference struct {
	Projection string          `json:"projection"`
	ID         uuid.UUID       `json:"id"`
	Stored     json.RawMessage `json:"stored,omitempty"`   // none: the row is missing
	Replayed   json.RawMessage `json:"replayed,omitempty"` // none: the log knows nothing of it
}

// Shard is the outcome for one part of the ids.
type Shard struct {
	Shard    int    `json:"shard"`
	Rows     int    `json:"rows"`
	Checksum string `json:"checksum"` // of the stored rows, in the order of their ids
	Differs  int    `json:"differs"`
}

// Run verifies shard by shard, and holds one shard in memory at a time.
func (v Verification) Run(ctx context.Context, generation, shards int) ([]Shard, error) {
	at, err := v.Store.Position(ctx, v.Projection.Name, generation)
	if err != nil {
		return nil, err
	}
	var all []Shard
	for shard := range shards {
		s, err := v.shard(ctx, Generation{Position: at, Target: at.Sequence, Passes: shards, Passed: shard})
		if err != nil {
			return all, fmt.Errorf("verify shard %d of %s: %w", shard, v.Projection.Name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// verifiable is a row as it is compared.
type verifiable struct {
	id       uuid.UUID
	sequence uint64
	doc      json.RawMessage
}

func (v Verification) shard(ctx context.Context, g Generation) (Shard, error) {
	s := Shard{Shard: g.Passed}
	replayed, err := v.replay(ctx, g)
	if err != nil {
		return s, err
	}
	sum, moved := fnv.New64a(), map[uuid.UUID]verifiable{}
	err = v.stored(ctx, g, func(row verifiable) error {
		want := replayed[row.id]
		delete(replayed, row.id)
		s.Rows++
		_, _ = sum.Write(row.doc)
		if row.sequence > g.Target {
			moved[row.id] = row
		} else if !bytes.Equal(row.doc, want) {
			v.differs(&s, row.id, row.doc, want)
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	for _, id := range ordered(replayed) {
		v.differs(&s, id, nil, replayed[id])
	}
	s.Checksum = fmt.Sprintf("%016x", sum.Sum64())
	return s, v.later(ctx, g, moved, &s)
}

func (v Verification) differs(s *Shard, id uuid.UUID, stored, replayed json.RawMessage) {
	s.Differs++
	v.Differs(Difference{v.Projection.Name, id, stored, replayed})
}

// later compares the rows that moved beyond the target while it was read: one
// replay for all of them, that gives each row the events it has seen.
func (v Verification) later(ctx context.Context, g Generation, moved map[uuid.UUID]verifiable, s *Shard) error {
	if len(moved) == 0 {
		return nil
	}
	f, err := v.Projection.start(ctx, none{}, g.Generation, nil)
	if err != nil {
		return err
	}
	at, err := v.Store.Position(ctx, v.Projection.Name, g.Generation)
	if err != nil {
		return err
	}
	var upTo uint64
	for _, row := range moved {
		upTo = max(upTo, row.sequence)
	}
	upTo = min(upTo, at.Sequence) // a row that claims more is wrong, and there may be no such event to wait for
	err = Build{Projection: v.Projection, Feed: v.Feed}.replay(ctx, 0, upTo, func(records []domain.Record) error {
		for _, r := range records {
			if r.Sequence > moved[v.Projection.row(r)].sequence {
				continue
			}
			if err := f.apply(r); err != nil {
				return v.Projection.poison(r, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	replayed, err := v.finished(ctx, f)
	for _, id := range ordered(moved) {
		if !bytes.Equal(moved[id].doc, replayed[id]) {
			v.differs(s, id, moved[id].doc, replayed[id])
		}
	}
	return err
}

func ordered[V any](m map[uuid.UUID]V) []uuid.UUID {
	return slices.SortedFunc(maps.Keys(m), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}

// replay is the shard's rows as the log says.
func (v Verification) replay(ctx context.Context, g Generation) (map[uuid.UUID]json.RawMessage, error) {
	f, err := v.Projection.start(ctx, none{}, g.Generation, nil)
	if err != nil {
		return nil, err
	}
	build := Build{Projection: v.Projection, Feed: v.Feed}
	if err := build.fold(ctx, g, f); err != nil {
		return nil, err
	}
	return v.finished(ctx, f)
}

func (v Verification) finished(ctx context.Context, f fold) (map[uuid.UUID]json.RawMessage, error) {
	var b Batch
	if err := f.finish(ctx, none{}, &b); err != nil {
		return nil, err
	}
	rows := map[uuid.UUID]json.RawMessage{}
	for _, row := range append(verifiables(b.Links, linkVerifiable), verifiables(b.Grants, grantVerifiable)...) {
		rows[row.id] = row.doc
	}
	return rows, nil
}

// stored walks over the shard's rows.
func (v Verification) stored(ctx context.Context, g Generation, each func(verifiable) error) error {
	if v.Projection.Name == Links.Name {
		return walk(ctx, g, v.Store.ScanLinks, linkVerifiable, each)
	}
	return walk(ctx, g, v.Store.ScanGrants, grantVerifiable, each)
}

func walk[Row any](ctx context.Context, g Generation, page func(ctx context.Context, generation int, after uuid.UUID, limit int) ([]Row, error),
	of func(Row) verifiable, each func(verifiable) error,
) error {
	for after := uuid.Nil; ; {
		rows, err := page(ctx, g.Generation, after, scanPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			r := of(row)
			after = r.id
			if ShardOf(r.id, g.Passes) != g.Passed {
				continue
			}
			if err := each(r); err != nil {
				return err
			}
		}
	}
}

func linkVerifiable(r LinkRow) verifiable {
	return verifiable{r.Link, r.Sequence, document(r)}
}

func grantVerifiable(r GrantRow) verifiable {
	return verifiable{r.Grant, r.Sequence, document(r)}
}

func verifiables[Row any](rows []Row, of func(Row) verifiable) []verifiable {
	all := make([]verifiable, 0, len(rows))
	for _, row := range rows {
		all = append(all, of(row))
	}
	return all
}

func document(row any) json.RawMessage {
	b, _ := json.Marshal(row) // rows of plain values always encode
	return b
}
