// Package readmodel looks after the generations of the read model: it keeps them
// up to date, fills new ones beside those in use, and verifies them.
package readmodel

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"outlink/domain"
	"outlink/internal/eventlog"
	"outlink/projections"
)

// Store is what the read model is kept in.
type Store interface {
	projections.Store
	projections.Builder
	projections.Snapshots
}

// Keeper looks after one read model. All fields are required.
type Keeper struct {
	Feed  eventlog.Feed
	Store Store
	Log   *slog.Logger
}

// look is how often the list of generations is looked at.
const look = 2 * time.Second

// Follow keeps all generations up to date that are to be, until the context
// ends. One that stops at an event that it cannot fold is left alone until this
// process starts again: its problem is in the store and in the log.
func (k Keeper) Follow(ctx context.Context) error {
	f := following{Keeper: k, feed: projections.Share(k.Feed), engines: map[generation]context.CancelFunc{}}
	defer f.all.Wait()
	for {
		if err := f.adjust(ctx); err != nil && ctx.Err() == nil {
			k.Log.Warn("the generations of the read model could not be listed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(look):
		}
	}
}

// generation names one.
type generation struct {
	projection string
	number     int
}

// following is one Follow: the engines that run, and those that stopped.
type following struct {
	Keeper
	feed    projections.Feed
	engines map[generation]context.CancelFunc
	all     sync.WaitGroup
}

// adjust starts the engines that are missing and ends those of dropped
// generations.
func (f *following) adjust(ctx context.Context) error {
	list, err := f.Store.Generations(ctx)
	if err != nil {
		return err
	}
	there := map[generation]bool{}
	for _, g := range list {
		id := generation{g.Projection, g.Generation}
		if there[id] = g.Followed(); !there[id] || f.engines[id] != nil {
			continue
		}
		p, err := Projection(g.Projection)
		if err != nil {
			f.Log.Warn("the read model holds a projection of another version", "projection", g.Projection)
			f.engines[id] = func() {}
			continue
		}
		engineCtx, cancel := context.WithCancel(ctx)
		f.engines[id] = cancel
		f.all.Go(func() { _ = f.engine(f.feed, p, g.Generation).Run(engineCtx) }) // what stops it is in the store and the log
	}
	for id, cancel := range f.engines {
		if !there[id] {
			cancel()
			delete(f.engines, id)
		}
	}
	return nil
}

func (k Keeper) engine(feed projections.Feed, p projections.Projection, generation int) *projections.Engine {
	return &projections.Engine{Projection: p, Generation: generation, Feed: feed, Store: k.Store, Log: k.Log}
}

// Projection finds a projection by its name.
func Projection(name string) (projections.Projection, error) {
	for _, p := range projections.All() {
		if p.Name == name {
			return p, nil
		}
	}
	return projections.Projection{}, domain.Errorf(domain.InvalidArgument, "there is no projection %q; use links or activity", name)
}

// Verify compares a generation with the log. It holds a shard of the aggregates
// in memory at a time.
func (k Keeper) Verify(ctx context.Context, p projections.Projection, generation int, differs func(projections.Difference)) (int, []projections.Shard, error) {
	return k.verify(ctx, k.Feed, p, generation, differs)
}

func (k Keeper) verify(ctx context.Context, feed projections.Feed, p projections.Projection, generation int, differs func(projections.Difference)) (int, []projections.Shard, error) {
	state, err := k.Feed.State(ctx)
	if err != nil {
		return 0, nil, err
	}
	v := projections.Verification{Projection: p, Feed: feed, Store: k.Store, Differs: differs}
	shards, err := v.Run(ctx, generation, projections.PassesFor(p, int(state.NumSubjects)))
	count := 0
	for _, s := range shards {
		count += s.Differs
	}
	return count, shards, err
}
