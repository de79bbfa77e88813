// Package readmodel looks after the generations of the read model: it keeps them
// up to date, fills new ones beside those in use, and verifies them.
package readmodel

import (
	"context"
	"errors"
	"fmt"
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

// Plan is what a rebuild would do.
type Plan struct {
	Projection string        `json:"projection"`
	Target     uint64        `json:"target"`     // sequence that is loaded in bulk
	Events     uint64        `json:"events"`     // to read in each pass
	Aggregates int           `json:"aggregates"` // links, grants and names, at most
	Passes     int           `json:"passes"`
	Resumes    int           `json:"resumes,omitempty"` // the interrupted generation that goes on
	Estimate   time.Duration `json:"estimate"`          // from a sample of the log, to read it; storing comes on top
}

// Request says what is rebuilt.
type Request struct {
	Projection projections.Projection
	Label      string // of a past state
	Past       bool   // up to Until; else the present
	Until      uint64 // 0 is the state before the first event
}

// target is the last sequence that is loaded in bulk.
func (r Request) target(last uint64) uint64 {
	if r.Past {
		return min(r.Until, last)
	}
	return last
}

// sample is how long the log is read to estimate a rebuild.
const sample = 500 * time.Millisecond

// Plan looks at what a rebuild has to do, and does none of it.
func (k Keeper) Plan(ctx context.Context, r Request) (Plan, error) {
	p, err := k.scope(ctx, r)
	if err != nil {
		return p, err
	}
	read, took, err := k.sample(ctx)
	if err == nil && read > 0 {
		p.Estimate = time.Duration(float64(took) / float64(read) * float64(p.Events) * float64(p.Passes))
	}
	return p, err
}

// scope is a plan without its estimate, which takes a while to find.
func (k Keeper) scope(ctx context.Context, r Request) (Plan, error) {
	state, err := k.Feed.State(ctx)
	if err != nil {
		return Plan{}, err
	}
	last, err := k.Feed.Last(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Projection: r.Projection.Name, Target: r.target(last), Events: state.Msgs, Aggregates: int(state.NumSubjects)}
	if p.Target < last {
		p.Events = p.Events * p.Target / last
	}
	p.Passes = projections.PassesFor(r.Projection, p.Aggregates)
	if g, ok, err := k.interrupted(ctx, r); err != nil {
		return p, err
	} else if ok {
		p.Resumes, p.Target, p.Passes = g.Generation, g.Target, g.Passes
	}
	return p, nil
}

func (k Keeper) sample(ctx context.Context) (read int, took time.Duration, err error) {
	began, enough := time.Now(), errors.New("enough")
	ctx, cancel := context.WithTimeout(ctx, sample)
	defer cancel()
	err = k.Feed.Follow(ctx, 0, func(_ context.Context, records []domain.Record) error {
		if read += len(records); time.Since(began) > sample {
			return enough
		}
		took = time.Since(began)
		return nil
	})
	if errors.Is(err, enough) || ctx.Err() != nil {
		err = nil
	}
	return read, took, err
}

// interrupted finds the build that goes on.
func (k Keeper) interrupted(ctx context.Context, r Request) (projections.Generation, bool, error) {
	all, err := k.Store.Generations(ctx)
	for _, g := range all {
		if g.Projection == r.Projection.Name && g.State == projections.StateBuilding && g.Label == r.Label && (!r.Past || r.Until == g.Target) {
			return g, true, err
		}
	}
	return projections.Generation{}, false, err
}

// Rebuild fills a generation beside the active one, catches up, verifies, and
// has readers use it. A past state is filled and left where it is. What was
// interrupted goes on.
//
// Several projections read the log together. All of them come to an end, even if
// one fails; the answers are in the order of the requests.
func (k Keeper) Rebuild(ctx context.Context, all []Request, progress func(i, pass int, at uint64)) ([]projections.Generation, error) {
	feed, built, errs := projections.Share(k.Feed), make([]projections.Generation, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			built[i], errs[i] = k.rebuild(ctx, feed, r, func(pass int, at uint64) {
				if progress != nil {
					progress(i, pass, at)
				}
			})
		})
	}
	wg.Wait()
	return built, errors.Join(errs...)
}

func (k Keeper) rebuild(ctx context.Context, feed projections.Feed, r Request, progress func(pass int, at uint64)) (projections.Generation, error) {
	g, err := k.begin(ctx, r)
	if err != nil {
		return g, err
	}
	if err := (projections.Build{Projection: r.Projection, Feed: feed, Store: k.Store, Progress: progress}).Run(ctx, g); err != nil {
		return g, fmt.Errorf("fill generation %d of %s: %w; run the same again to go on", g.Generation, g.Projection, err)
	}
	if r.Past {
		return g, nil
	}
	if err := k.present(ctx, feed, r.Projection, g); err != nil {
		return g, err
	}
	return g, k.Store.Switch(ctx, g.Projection, g.Generation)
}

// begin is the generation to be filled: a new one, or one whose filling was
// interrupted.
func (k Keeper) begin(ctx context.Context, r Request) (projections.Generation, error) {
	plan, err := k.scope(ctx, r)
	if err != nil {
		return projections.Generation{}, err
	}
	g, resumed, err := k.interrupted(ctx, r)
	if err != nil || resumed {
		return g, err
	}
	return k.Store.Begin(ctx, projections.Generation{
		Position: projections.Position{Projection: r.Projection.Name}, Label: r.Label, Target: plan.Target, Passes: plan.Passes,
	})
}

// present brings a generation to the head of the log and verifies it there.
func (k Keeper) present(ctx context.Context, feed projections.Feed, p projections.Projection, g projections.Generation) error {
	engineCtx, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- k.engine(feed, p, g.Generation).Run(engineCtx) }()
	defer func() {
		stop()
		<-stopped //nolint:errcheck // it was told to end
	}()
	if err := k.caughtUp(ctx, g, stopped); err != nil {
		return err
	}
	var first *projections.Difference
	differs, _, err := k.verify(ctx, feed, p, g.Generation, func(d projections.Difference) {
		if first == nil {
			first = &d
		}
	})
	if err != nil || differs == 0 {
		return err
	}
	return domain.Errorf(domain.Internal, "generation %d of %s differs from the log in %d rows, the first of them %s; readers stay with the active one", g.Generation, g.Projection, differs, first.ID)
}

// caughtUp waits until a generation has seen the log as it was a moment ago.
func (k Keeper) caughtUp(ctx context.Context, g projections.Generation, stopped chan error) error {
	for {
		last, err := k.Feed.Last(ctx)
		if err != nil {
			return err
		}
		at, err := k.Store.Position(ctx, g.Projection, g.Generation)
		if err != nil || at.Sequence >= last {
			return err
		}
		select {
		case err := <-stopped:
			stopped <- nil // for whoever waits for its end
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
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
