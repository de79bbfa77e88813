package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"outlink/domain"
)

// Feed delivers the events of links and grants in the order of the log.
type Feed interface {
	// Follow hands over what comes after the sequence, in batches of at most
	// 2,000 events or 1 MiB, until the context ends, the log ends, or handle
	// returns an error, which it returns as it is. A batch may begin with events
	// that were delivered before. A message that is no event ends it with a
	// *domain.UnreadableError, after everything before it was handed over. Of a
	// foreign message only the place comes, see [domain.Record.Foreign]. A batch is
	// read for some time after handle has returned.
	Follow(ctx context.Context, after uint64, handle func(ctx context.Context, batch []domain.Record) error) error
}

// Engine keeps one generation of one projection up to date. All fields but
// Generation and Backoff are required.
type Engine struct {
	Projection Projection
	Generation int // 0 means [FirstGeneration]
	Feed       Feed
	Store      Store
	Log        *slog.Logger

	// Standby is how long the checkpoint must stand still before a projector that
	// was overtaken tries again, so that mostly one of them works; 0 means a second.
	Standby time.Duration

	// Backoff is how long to wait after so many failures in a row, from 1 on;
	// nil means [Backoff].
	Backoff func(failures int) time.Duration
}

// Backoff doubles from 50 ms up to 10 s, and takes a random part between half
// of that and all of it, so that nodes do not knock in step.
func Backoff(failures int) time.Duration {
	limit := min(50*time.Millisecond<<min(failures-1, 10), 10*time.Second)
	return limit/2 + rand.N(limit/2)
}

// Run follows the log until the context or the log ends, and then returns nil.
// Failures of the store and of the feed are retried. The error is a
// *PoisonError: an event that cannot be read or folded; the projection's problem is
// recorded in the store and Run must not be repeated before a person has looked.
func (e *Engine) Run(ctx context.Context) error {
	r := run{Engine: e, rows: remember(e.Store), log: e.Log.With("projection", e.Projection.Name, "generation", e.generation())}
	for {
		err := r.follow(ctx)
		var poison *PoisonError
		switch {
		case ctx.Err() != nil, err == nil:
			return nil //nolint:nilerr // it was told to end
		case errors.As(err, &poison):
			r.stop(ctx, poison)
			return poison
		case errors.Is(err, errRewound):
			r.log.Warn("the checkpoint was set back; following the log from there")
			continue
		}
		r.pause(ctx, fmt.Errorf("follow the log: %w", err))
	}
}

func (e *Engine) generation() int {
	if e.Generation == 0 {
		return FirstGeneration
	}
	return e.Generation
}

// errRewound says that the checkpoint went back, so that the feed has to as well.
var errRewound = errors.New("the checkpoint was set back")

// run is one Run of an Engine: where it stands and how often it failed in a row.
type run struct {
	*Engine
	rows     *remembered
	log      *slog.Logger
	at       Position
	underway *underway // up to the position; nil: all is in the store
	unfollow func()    // ends the feed
	failures int
}

// follow reads the log from the checkpoint on.
func (r *run) follow(ctx context.Context) error {
	at, err := r.Store.Position(ctx, r.Projection.Name, r.generation())
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	r.at = at
	r.rows.forget()
	following, unfollow := context.WithCancel(ctx)
	defer unfollow()
	r.unfollow = unfollow
	err = r.Feed.Follow(following, at.Sequence, func(_ context.Context, records []domain.Record) error {
		return r.handle(ctx, records)
	})
	if _, settled := r.settle(); settled != nil {
		err = settled // it came before whatever ended the feed
	}
	if bad, ok := errors.AsType[*domain.UnreadableError](err); ok {
		return &PoisonError{Projection: r.Projection.Name, Sequence: bad.Sequence, Type: bad.Type, Err: bad}
	}
	return err
}

// confirm makes sure that the rows were of one moment before it believes in a
// poisonous event: beside a faster projector they may be older and newer ones.
func (r *run) confirm(ctx context.Context, poison *PoisonError) error {
	at, err := r.Store.Position(ctx, r.Projection.Name, r.generation())
	switch {
	case err != nil:
		return fmt.Errorf("read the checkpoint: %w", err)
	case at.Sequence != r.at.Sequence:
		return ErrFenced
	}
	return poison
}

// standby leaves the work to the other projector as long as it gets on with it.
func (r *run) standby(ctx context.Context) error {
	wait := cmp.Or(r.Standby, time.Second)
	for {
		before := r.at.Sequence
		if err := r.reload(ctx); err != nil || r.at.Sequence == before {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// reload finds out how far the other projector has come.
func (r *run) reload(ctx context.Context) error {
	at, err := r.Store.Position(ctx, r.Projection.Name, r.generation())
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	if at.Sequence < r.at.Sequence {
		return errRewound
	}
	r.at = at
	return nil
}

// loudAfter is how many failures in a row are no passing trouble any more: about
// a second and a half.
const loudAfter = 6

// pause waits before the next try, or until the context ends.
func (r *run) pause(ctx context.Context, cause error) {
	r.failures++
	backoff := r.Backoff
	if backoff == nil {
		backoff = Backoff
	}
	wait := backoff(r.failures)
	level := slog.LevelWarn
	if r.failures >= loudAfter {
		level = slog.LevelError
	}
	r.log.Log(ctx, level, "projection has to wait", "error", cause, "failures", r.failures, "wait", wait)
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// stop says why the projection stops: in the log, and in the store as far as it
// can be reached. A newer node that has got past the event outweighs it.
func (r *run) stop(ctx context.Context, poison *PoisonError) {
	r.log.Error("projection stopped at an event it cannot fold",
		"sequence", poison.Sequence, "type", poison.Type, "reason", poison.Err)
	r.at.Problem = poison.Error()
	for ctx.Err() == nil {
		err := r.Store.Report(ctx, r.at)
		if err == nil || errors.Is(err, ErrFenced) {
			return
		}
		r.pause(ctx, fmt.Errorf("record the problem: %w", err))
	}
}
