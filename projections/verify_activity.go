package projections

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"outlink/domain"
)

const (
	// timelineShards is in how many parts the timeline is compared.
	timelineShards = 64

	// closely is how many shards that differ are looked at event by event.
	closely = 3
)

// activity verifies the timeline by a checksum a shard, so that it takes one
// replay and one walk over the rows, and no memory. Of shards that differ the
// first few are then compared event by event.
func (v Verification) activity(ctx context.Context, at Position) ([]Shard, error) {
	want, got := newShards(), newShards()
	if err := v.sums(ctx, 0, at.Sequence, want); err != nil {
		return nil, err
	}
	err := v.Store.Snapshot(ctx, func(rows Scanner) error {
		now, err := v.since(ctx, rows, at)
		if err != nil {
			return err
		}
		if err := v.sums(ctx, at.Sequence, now, want); err != nil {
			return err
		}
		err = rows.ScanActivity(ctx, at.Generation, func(r domain.Record) error {
			got.add(r)
			return nil
		})
		if err != nil {
			return err
		}
		return v.different(ctx, rows, Position{Generation: at.Generation, Sequence: now}, got, want)
	})
	for i := range got {
		got[i] = got[i].done()
	}
	return got, err
}

// shards are parts of the timeline under summing up.
type shards []Shard

func newShards() shards {
	all := make(shards, timelineShards)
	for i := range all {
		all[i].Shard = i
	}
	return all
}

func (all shards) add(r domain.Record) {
	shard := &all[ShardOf(r.Link, timelineShards)]
	shard.Rows++
	shard.sum += sumOf(r)
}

// sumOf is of all that a timeline keeps of an event.
func sumOf(r domain.Record) uint64 {
	var numbers [24]byte
	binary.BigEndian.PutUint64(numbers[:8], r.Sequence)
	binary.BigEndian.PutUint64(numbers[8:16], uint64(r.Time.UnixNano()))
	binary.BigEndian.PutUint64(numbers[16:], r.Version)
	return sum(r.ID[:], r.Link[:], r.Grant[:], numbers[:], []byte(r.Type), []byte{0}, []byte(r.Actor), []byte{0}, []byte(r.Correlation), []byte{0},
		[]byte(r.Causation), []byte{0}, []byte(r.Traceparent), []byte{0}, []byte(r.Hash), []byte{0}, r.Data)
}

// sums adds the log between two sequences.
func (v Verification) sums(ctx context.Context, after, upTo uint64, to shards) error {
	return Build{Projection: Activity, Feed: v.Feed}.replay(ctx, after, upTo, func(records []domain.Record) error {
		for _, r := range records {
			to.add(r)
		}
		return nil
	})
}

// different looks closely at the first shards that differ.
func (v Verification) different(ctx context.Context, rows Scanner, at Position, got, want shards) error {
	looked := 0
	for i := range got {
		if got[i] == want[i] {
			continue
		}
		got[i].Differs = max(1, got[i].Rows-want[i].Rows, want[i].Rows-got[i].Rows)
		if looked++; looked > closely {
			continue
		}
		c := comparison{Verification: v, shard: Shard{Shard: i}}
		if err := c.events(ctx, rows, at); err != nil {
			return fmt.Errorf("compare shard %d of the timeline: %w", i, err)
		}
		got[i].Differs = c.shard.Differs
	}
	return nil
}

// events compares the shard event by event.
func (c *comparison) events(ctx context.Context, rows Scanner, at Position) error {
	log := map[uint64]domain.Record{}
	err := Build{Projection: Activity, Feed: c.Feed}.replay(ctx, 0, at.Sequence, func(records []domain.Record) error {
		for _, r := range records {
			if ShardOf(r.Link, timelineShards) == c.shard.Shard {
				log[r.Sequence] = r
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = rows.ScanActivity(ctx, at.Generation, func(r domain.Record) error {
		if ShardOf(r.Link, timelineShards) != c.shard.Shard {
			return nil
		}
		want, known := log[r.Sequence]
		delete(log, r.Sequence)
		if !known {
			c.differs(r.ID, document(r), nil)
		} else if sumOf(r) != sumOf(want) {
			c.differs(r.ID, document(r), document(want))
		}
		return nil
	})
	for _, sequence := range slices.Sorted(maps.Keys(log)) {
		c.differs(log[sequence].ID, nil, document(log[sequence]))
	}
	return err
}
