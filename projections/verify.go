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

// Verification compares a generation, each row with all its columns, with the
// log. Projectors may go on beside it: what is compared is of one moment. All
// fields are required.
type Verification struct {
	Projection Projection
	Feed       Feed
	Store      Verified

	// Differs is called with each difference.
	Differs func(Difference)
}

// Verified is what a verification reads.
type Verified interface {
	Snapshots
	Position(ctx context.Context, projection string, generation int) (Position, error)
}

// Difference is a row that is not what the log says.
type Difference struct {
	Projection string          `json:"projection"`
	ID         uuid.UUID       `json:"id"`                 // of the link, grant or event; zero: the counts of links
	Stored     json.RawMessage `json:"stored,omitempty"`   // none: the row is missing
	Replayed   json.RawMessage `json:"replayed,omitempty"` // none: the log knows nothing of it
}

// Shard is the outcome for one part of the links, with what belongs to them.
type Shard struct {
	Shard    int    `json:"shard"`
	Rows     int    `json:"rows"`
	Checksum string `json:"checksum"` // of the stored rows, in any order
	Differs  int    `json:"differs"`

	sum uint64
}

// Run verifies a generation in so many shards. It holds one shard of the links
// and grants in memory at a time, and nothing of the timeline.
func (v Verification) Run(ctx context.Context, generation, shards int) ([]Shard, error) {
	at, err := v.Store.Position(ctx, v.Projection.Name, generation)
	if err != nil {
		return nil, err
	}
	if v.Projection.Name == Activity.Name {
		return v.activity(ctx, at)
	}
	var all []Shard
	for shard := range shards {
		s, err := v.links(ctx, Generation{Position: at, Target: at.Sequence, Passes: shards, Passed: shard})
		if err != nil {
			return all, fmt.Errorf("verify shard %d of %s: %w", shard, v.Projection.Name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// links verifies the present shard. The log is folded up to the checkpoint, and
// then, from the moment of the snapshot on, what has come since.
func (v Verification) links(ctx context.Context, g Generation) (Shard, error) {
	c := comparison{Verification: v, shard: Shard{Shard: g.Passed}}
	f, log := newLinksFold(), Build{Projection: v.Projection, Feed: v.Feed}
	if err := log.fold(ctx, 0, g, f); err != nil {
		return c.shard, err
	}
	err := v.Store.Snapshot(ctx, func(rows Scanner) error {
		from := g.Target
		var err error
		if g.Target, err = v.since(ctx, rows, g.Position); err != nil {
			return err
		}
		if err := log.fold(ctx, from, g, f); err != nil {
			return err
		}
		if err := f.expiries(ctx, none{}, g.Generation, 0); err != nil {
			return err
		}
		return c.linksAndGrants(ctx, rows, g, f)
	})
	return c.shard.done(), err
}

// since is where the snapshot stands.
func (v Verification) since(ctx context.Context, rows Scanner, from Position) (uint64, error) {
	at, err := rows.Position(ctx, v.Projection.Name, from.Generation)
	if err == nil && at.Sequence < from.Sequence {
		err = domain.Errorf(domain.Conflict, "the checkpoint of %s was set back from %d to %d meanwhile; verify again", v.Projection.Name, from.Sequence, at.Sequence)
	}
	return at.Sequence, err
}

// comparison is a shard under comparison.
type comparison struct {
	Verification
	shard Shard
}

func (c *comparison) linksAndGrants(ctx context.Context, rows Scanner, g Generation, f *linksFold) error {
	counts := counting{}
	err := rows.ScanLinks(ctx, g.Generation, func(s StoredLink) error {
		counts.add(s.Row, +1)
		if ShardOf(s.Row.Link, g.Passes) == g.Passed {
			row, known := f.links.take(s.Row.Link)
			c.compare(s.Row.Link, s, row.AsStored(), known)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = rows.ScanGrants(ctx, g.Generation, func(s StoredGrant) error {
		if ShardOf(s.Row.Link, g.Passes) == g.Passed {
			row, known := f.grants.take(s.Row.Grant)
			c.compare(s.Row.Grant, s, StoredGrant{Row: row, Columns: row.Columns()}, known)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ordered(f.links) {
		c.differs(id, nil, document(f.links.of(id)))
	}
	for _, id := range ordered(f.grants) {
		c.differs(id, nil, document(f.grants.of(id)))
	}
	if g.Passed > 0 {
		return nil // the first shard has compared the counts of all
	}
	return c.counts(ctx, rows, g.Generation, counts)
}

// take removes a row.
func (f folded[Row]) take(id uuid.UUID) (row Row, known bool) {
	c, known := f[id]
	if known {
		row = c.now
		delete(f, id)
	}
	return row, known
}

// counts compares the counts that are kept with those of the rows.
func (c *comparison) counts(ctx context.Context, rows Scanner, generation int, counted counting) error {
	kept, err := rows.ScanCounts(ctx, generation)
	if err != nil {
		return err
	}
	stored, replayed := inOrder(kept), inOrder(counted.list())
	if !slices.Equal(stored, replayed) {
		c.differs(uuid.Nil, document(stored), document(replayed))
	}
	return nil
}

func inOrder(counts []LinkCount) []LinkCount {
	return slices.SortedFunc(slices.Values(counts), func(a, b LinkCount) int {
		return slices.Compare([]string{a.Provider, string(a.Status), string(a.Health)}, []string{b.Provider, string(b.Status), string(b.Health)})
	})
}

// compare counts a stored row, and compares it with what the log says, if that
// knows of it.
func (c *comparison) compare(id uuid.UUID, stored, replayed any, known bool) {
	doc := document(stored)
	c.shard.Rows++
	c.shard.sum += sum(doc)
	if !known {
		c.differs(id, doc, nil)
	} else if want := document(replayed); !bytes.Equal(doc, want) {
		c.differs(id, doc, want)
	}
}

func (c *comparison) differs(id uuid.UUID, stored, replayed json.RawMessage) {
	c.shard.Differs++
	c.Differs(Difference{c.Projection.Name, id, stored, replayed})
}

func (s Shard) done() Shard {
	s.Checksum = fmt.Sprintf("%016x", s.sum)
	return s
}

func sum(parts ...[]byte) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		_, _ = h.Write(part)
	}
	return h.Sum64()
}

func ordered[V any](m map[uuid.UUID]V) []uuid.UUID {
	return slices.SortedFunc(maps.Keys(m), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}

func document(row any) json.RawMessage {
	b, _ := json.Marshal(row) // rows of plain values always encode
	return b
}
