package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"outlink/domain"
)

// The states of a generation.
const (
	StateActive   = "active"   // readers use it
	StateBuilding = "building" // it is being filled, or waits to be switched to
	StateRetired  = "retired"  // it was active; it is kept up to date, so that a switch goes back at once
)

// Generation is one set of a projection's tables.
type Generation struct {
	Position
	State  string `json:"state"`
	Label  string `json:"label,omitempty"`  // of a past state, which is not followed up
	Target uint64 `json:"target,omitempty"` // the log is loaded in bulk up to here
	Passes int    `json:"passes,omitempty"` // over the log
	Begun  int    `json:"-"`                // of them, those that may have stored rows
	Passed int    `json:"passed,omitempty"` // of them, done

	Finished bool `json:"-"` // the bulk is indexed and counted
}

// Loaded reports whether the bulk of the generation is there.
func (g Generation) Loaded() bool { return g.Passed == g.Passes && g.Finished }

// Followed reports whether projectors keep the generation up to date: not before
// it is finished, for what they count would be counted twice, or not at all.
func (g Generation) Followed() bool { return g.Loaded() && g.Label == "" }

// Status is the generation's state in a word for people. A past state that is there
// is stored as one that is built, and waits for nothing.
func (g Generation) Status() string {
	if g.State == StateBuilding && g.Label != "" && g.Loaded() {
		return "past"
	}
	return g.State
}

// Builder fills generations beside the one that readers use.
type Builder interface {
	Rows

	// Generations lists all generations of all projections, oldest first.
	Generations(ctx context.Context) ([]Generation, error)

	// Begin makes a new generation's tables, without the indexes that only
	// readers need. Its number is in the answer.
	Begin(ctx context.Context, g Generation) (Generation, error)

	// Load stores rows in bulk, and moves the checkpoint if the batch has a way
	// to go; those that have none may be loaded at once. Rows that may be there already
	// are loaded again with again.
	Load(ctx context.Context, b Batch, again bool) error

	// Record keeps how many passes have begun and how many are done.
	Record(ctx context.Context, g Generation) error

	// Finish makes the indexes, sets the checkpoint to the target, and counts what
	// is there; the mark that this is done moves with the counts.
	Finish(ctx context.Context, g Generation) error

	// Switch has readers use a generation that is loaded, and retires the other.
	Switch(ctx context.Context, projection string, generation int) error

	// Drop removes a generation that is not active.
	Drop(ctx context.Context, projection string, generation int) error
}

// Build is one filling of a generation from the log. All fields are required
// but Progress.
type Build struct {
	Projection Projection
	Feed       Feed
	Store      Builder
	Progress   func(pass int, at uint64)
}

// AggregatesInMemory is how many links or grants a pass holds at most: about
// half a gigabyte, with what is garbage up to one. A longer history takes no more
// of it; more aggregates take more passes.
const AggregatesInMemory = 250_000

// PassesFor is how many passes a projection takes over a log of so many links
// and grants.
func PassesFor(p Projection, aggregates int) int {
	if p.Name == Activity.Name {
		return 1 // it holds nothing
	}
	return min(aggregates/AggregatesInMemory+1, maxPasses)
}

// maxPasses is what the shards of a pass allow: the last byte of an id.
const maxPasses = 256

// loadRows is how many rows are stored at once.
const loadRows = 5000

// errReached ends a pass at its target.
var errReached = errors.New("the target is reached")

// Run fills a generation that [Builder.Begin] made, from where it stands.
func (b Build) Run(ctx context.Context, g Generation) error {
	for g.Passed < g.Passes {
		if err := b.pass(ctx, &g); err != nil {
			return fmt.Errorf("pass %d of %d over the log: %w", g.Passed+1, g.Passes, err)
		}
		g.Passed++
		if err := b.Store.Record(ctx, g); err != nil {
			return err
		}
	}
	return b.Store.Finish(ctx, g)
}

func (b Build) pass(ctx context.Context, g *Generation) error {
	if b.Projection.Name == Activity.Name {
		return b.copyEvents(ctx, *g)
	}
	f, err := b.Projection.start(ctx, none{}, g.Generation, nil)
	if err != nil {
		return err
	}
	if err := b.fold(ctx, 0, *g, f); err != nil {
		return err
	}
	again, err := b.begin(ctx, g)
	if err != nil {
		return err
	}
	all := Batch{Projection: b.Projection.Name, Generation: g.Generation}
	if err := f.finish(ctx, none{}, &all); err != nil {
		return err
	}
	loading, ctx := errgroup.WithContext(ctx)
	loading.SetLimit(2) // the database stores one part while the next is encoded
	for part := range all.parts(loadRows) {
		loading.Go(func() error { return b.Store.Load(ctx, part, again) })
	}
	return loading.Wait()
}

// begin records that the present pass stores rows from now on, and reports
// whether an interrupted run may have stored some of it: only then do they take
// the slow way, which replaces rows.
func (b Build) begin(ctx context.Context, g *Generation) (again bool, err error) {
	if g.Begun > g.Passed {
		return true, nil
	}
	g.Begun = g.Passed + 1
	return false, b.Store.Record(ctx, *g)
}

// fold applies the log after a sequence and up to the target, as far as it
// belongs to the present pass.
func (b Build) fold(ctx context.Context, after uint64, g Generation, f fold) error {
	return b.replay(ctx, after, g.Target, func(records []domain.Record) error {
		for _, r := range records {
			if ShardOf(r.Link, g.Passes) != g.Passed {
				continue
			}
			if err := f.apply(r); err != nil {
				return b.Projection.poison(r, err)
			}
		}
		b.report(g.Passed, records)
		return nil
	})
}

// ShardOf divides ids evenly; the last byte is random in every kind of UUID that
// is used.
func ShardOf(id uuid.UUID, shards int) int { return int(id[15]) * shards / maxPasses }

// copyEvents loads events as they come; the checkpoint goes along.
func (b Build) copyEvents(ctx context.Context, g Generation) error {
	at := g.Sequence
	batch := Batch{Projection: b.Projection.Name, Generation: g.Generation, From: at}
	flush := func() error {
		if batch.To <= batch.From {
			return nil
		}
		err := b.Store.Load(ctx, batch, false)
		batch.From, batch.Activity = batch.To, batch.Activity[:0]
		return err
	}
	err := b.replay(ctx, at, g.Target, func(records []domain.Record) error {
		for _, r := range records {
			if err := decodable(r); err != nil {
				return b.Projection.poison(r, err)
			}
			batch.Activity, batch.To = append(batch.Activity, r), r.Sequence
		}
		b.report(g.Passed, records)
		if len(batch.Activity) < loadRows {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush())
}

// replay hands over the log after a sequence and up to another, without foreign
// messages.
func (b Build) replay(ctx context.Context, after, upTo uint64, handle func([]domain.Record) error) error {
	if after >= upTo {
		return nil
	}
	err := b.Feed.Follow(ctx, after, func(_ context.Context, records []domain.Record) error {
		records = unseen(records, after)
		reached := false
		for i, r := range records {
			if r.Sequence >= upTo {
				reached = true
				if r.Sequence > upTo {
					records = records[:i]
					break
				}
			}
		}
		if len(records) > 0 {
			after = records[len(records)-1].Sequence
		}
		if records = without(records, isForeign); len(records) > 0 {
			if err := handle(records); err != nil {
				return err
			}
		}
		if reached {
			return errReached
		}
		return nil
	})
	if errors.Is(err, errReached) {
		return nil
	}
	return err
}

func (b Build) report(pass int, records []domain.Record) {
	if b.Progress != nil && len(records) > 0 {
		b.Progress(pass, records[len(records)-1].Sequence)
	}
}

// none is a store without rows.
type none struct{}

func (none) LinkRows(context.Context, int, []uuid.UUID) ([]LinkRow, error)   { return nil, nil }
func (none) GrantRows(context.Context, int, []uuid.UUID) ([]GrantRow, error) { return nil, nil }
func (none) NextExpiries(context.Context, int, map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	return map[uuid.UUID]time.Time{}, nil
}

// parts cuts a batch into batches of so many rows of one kind.
func (b Batch) parts(size int) func(yield func(Batch) bool) {
	return func(yield func(Batch) bool) {
		empty := Batch{Projection: b.Projection, Generation: b.Generation, From: b.From, To: b.To}
		for rows := range slices.Chunk(b.Links, size) {
			part := empty
			if part.Links = rows; !yield(part) {
				return
			}
		}
		for rows := range slices.Chunk(b.Expiries, size) {
			part := empty
			if part.Expiries = rows; !yield(part) {
				return
			}
		}
		for rows := range slices.Chunk(b.Grants, size) {
			part := empty
			if part.Grants = rows; !yield(part) {
				return
			}
		}
	}
}
