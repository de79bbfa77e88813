package projections

import (
	"context"
	"errors"

	"outlink/domain"
)

// underway is a batch that is being stored. While it is, the next one is folded on
// top of it, as if it were stored: the database works while the projector does.
type underway struct {
	alone *run // has it stored if that fails, apart from what is folded meanwhile
	done  chan struct{}

	sound bool  // it was stored as it was folded
	err   error // it never can be
}

// handle folds a batch, and begins to store it once the one before is stored, by
// itself or by a faster projector. It returns an error where one never can be.
func (r *run) handle(ctx context.Context, records []domain.Record) error {
	b, err := r.Projection.Fold(ctx, r.rows, r.at, records)
	sound, settled := r.settle()
	switch {
	case settled != nil:
		return settled
	case err != nil || !sound: // not to be believed of a fold on top of what was not stored yet
		return r.persist(ctx, records, r.step(ctx, records))
	case b.To > b.From:
		r.start(ctx, b, records)
	}
	return nil
}

// start begins to store a batch, and sees to it that it is stored: maybe no other
// comes for a while.
func (r *run) start(ctx context.Context, b Batch, records []domain.Record) {
	u := &underway{done: make(chan struct{}), alone: &run{Engine: r.Engine, rows: remember(r.Store), log: r.log, at: r.at, failures: r.failures}}
	go func() {
		defer close(u.done)
		err := r.Store.Apply(ctx, b)
		if u.sound = err == nil; u.sound {
			return
		}
		if u.err = u.alone.persist(ctx, records, b.failed(err)); u.err != nil {
			r.unfollow()
		}
	}()
	r.underway, r.at.Sequence = u, b.To
	r.rows.stored(b)
}

// settle waits until what is underway is stored. It reports whether that went as it
// was folded; if not, it was done in another way, or there is an error.
func (r *run) settle() (sound bool, err error) {
	u := r.underway
	if u == nil {
		return true, nil
	}
	<-u.done
	r.underway, r.failures = nil, 0
	if !u.sound {
		r.at, r.failures = u.alone.at, u.alone.failures
		r.rows.forget()
	}
	return u.sound, u.err
}

// persist stores one batch after a first try. It does not return before the batch
// is stored, by itself or by a faster projector, unless it never can be.
func (r *run) persist(ctx context.Context, records []domain.Record, err error) error {
	for ; ; err = r.step(ctx, records) {
		if err != nil {
			r.rows.forget()
		}
		var poison *PoisonError
		switch {
		case err == nil:
			r.failures = 0
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &poison), errors.Is(err, errRewound):
			return err
		case errors.Is(err, ErrFenced):
			r.log.Debug("another projector was faster", "sequence", r.at.Sequence)
			err = r.standby(ctx)
			if errors.Is(err, errRewound) {
				return err
			}
		}
		if err != nil {
			r.pause(ctx, err)
		}
	}
}

// step folds what is new in the batch and stores it in one transaction.
func (r *run) step(ctx context.Context, records []domain.Record) error {
	b, err := r.Projection.Fold(ctx, r.rows, r.at, records)
	var poison *PoisonError
	if err != nil && !errors.As(err, &poison) {
		return err
	}
	if b.To > b.From {
		if err := r.Store.Apply(ctx, b); err != nil {
			return b.failed(err)
		}
		r.at.Sequence = b.To
		r.rows.stored(b)
	} else if poison != nil {
		return r.confirm(ctx, poison)
	}
	return err
}
