package readmodel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"outlink/domain"
	"outlink/projections"
)

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
	p, err := k.Scope(ctx, r)
	if err != nil {
		return p, err
	}
	read, took, err := k.sample(ctx)
	if err == nil && read > 0 {
		p.Estimate = time.Duration(float64(took) / float64(read) * float64(p.Events) * float64(p.Passes))
	}
	return p, err
}

// Scope is a plan without its estimate, which takes a while to find.
func (k Keeper) Scope(ctx context.Context, r Request) (Plan, error) {
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
	if !r.Past {
		if err := k.present(ctx, feed, r.Projection, g); err != nil {
			return g, err
		}
		if err := k.Store.Switch(ctx, g.Projection, g.Generation); err != nil {
			return g, err
		}
	}
	return k.now(ctx, g)
}

// now is a generation as the store has it.
func (k Keeper) now(ctx context.Context, g projections.Generation) (projections.Generation, error) {
	all, err := k.Store.Generations(ctx)
	for _, found := range all {
		if found.Projection == g.Projection && found.Generation == g.Generation {
			g = found
		}
	}
	return g, err
}

// begin is the generation to be filled: a new one, or one whose filling was
// interrupted.
func (k Keeper) begin(ctx context.Context, r Request) (projections.Generation, error) {
	plan, err := k.Scope(ctx, r)
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
