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
// log. It may run beside projectors: a row that has moved on meanwhile is
// compared anew with the history that it has seen. All fields are required.
type Verification struct {
	Projection Projection
	Feed       Feed
	Store      Verified

	// History is what the log has of an aggregate up to a sequence: of a link and
	// its grants, or of one grant.
	History func(ctx context.Context, key domain.Key, upTo uint64) ([]domain.Record, error)

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
	key      domain.Key
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
	sum := fnv.New64a()
	err = v.stored(ctx, g, func(row verifiable) error {
		want, err := v.expected(ctx, g, row, replayed[row.id])
		if err != nil {
			return err
		}
		delete(replayed, row.id)
		s.Rows++
		_, _ = sum.Write(row.doc)
		if !bytes.Equal(row.doc, want) {
			s.Differs++
			v.Differs(Difference{v.Projection.Name, row.id, row.doc, want})
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	for _, id := range slices.SortedFunc(maps.Keys(replayed), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
		s.Differs++
		v.Differs(Difference{v.Projection.Name, id, nil, replayed[id]})
	}
	s.Checksum = fmt.Sprintf("%016x", sum.Sum64())
	return s, nil
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

// expected is the replayed row, or, for a row that has seen later events, what
// its history says up to those.
func (v Verification) expected(ctx context.Context, g Generation, row verifiable, replayed json.RawMessage) (json.RawMessage, error) {
	if row.sequence <= g.Target {
		return replayed, nil
	}
	records, err := v.History(ctx, row.key, row.sequence)
	if err != nil {
		return nil, err
	}
	f, err := v.Projection.start(ctx, none{}, g.Generation, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if err := f.apply(r); err != nil {
			return nil, v.Projection.poison(r, err)
		}
	}
	rows, err := v.finished(ctx, f)
	return rows[row.id], err
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
	return verifiable{domain.Key{Link: r.Link}, r.Link, r.Sequence, document(r)}
}

func grantVerifiable(r GrantRow) verifiable {
	return verifiable{domain.Key{Link: r.Link, Grant: r.Grant}, r.Grant, r.Sequence, document(r)}
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
