package projections

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"outlink/domain"
)

// Shared is a feed that reads the log once for all who follow it at about the
// same place, as the engines of one store do: reading, authenticating and decoding
// an event costs more than folding it. Who is elsewhere reads for itself until it is near.
type Shared struct {
	feed Feed

	mu      sync.Mutex
	reading *reading // the present one
}

// Share returns a feed for several followers. Events are decoded where they are: the
// batches of the given feed must be read by nobody else.
func Share(f Feed) *Shared { return &Shared{feed: f} }

const (
	// window is how many events are kept for who is behind, and how far the slowest
	// follower may be behind the fastest: some sixteen megabytes.
	window = 8000

	// patience is how long one follower may hold up others with one batch.
	patience = 2 * time.Second

	// batchEvents and batchBytes are what a follower gets at once, at most.
	batchEvents = 2000
	batchBytes  = 1 << 20
)

// reading is one pass over the log; the mutex of Shared guards it.
type reading struct {
	before    uint64          // the log's sequence before the events that are kept
	last      uint64          // of them
	dropped   int             // events that are kept no longer
	kept      []domain.Record // appended to, and cut off in front: parts that were given away stay as they are
	ended     bool
	err       error         // that it ended with
	changed   chan struct{} // closed, and made anew, at every change
	followers map[*follower]bool
	stop      context.CancelFunc
	stopped   chan struct{}
}

// follower is one of those who follow a reading.
type follower struct {
	*reading
	at    int       // events of the reading that it has handled
	taken int       // that it handles now
	since time.Time // when it took the batch that it handles now; zero: it waits
}

var (
	errNear       = errors.New("the shared reading is near")
	errLeftBehind = errors.New("the shared reading has gone on")
)

// Follow is as in [Feed]. Batches are shared: handle must not change them.
func (s *Shared) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	noting := func(ctx context.Context, batch []domain.Record) error {
		err := handle(ctx, batch)
		if err == nil {
			after = max(after, batch[len(batch)-1].Sequence)
		}
		return err
	}
	for {
		if f := s.join(ctx, after); f != nil {
			if err := s.follow(ctx, f, noting); !errors.Is(err, errLeftBehind) {
				return err
			}
		}
		err := s.feed.Follow(ctx, after, func(ctx context.Context, batch []domain.Record) error {
			if err := noting(ctx, batch); err != nil {
				return err
			}
			return s.near(after)
		})
		if !errors.Is(err, errNear) {
			return err
		}
	}
}

// near returns errNear when the present reading is where a follower is.
func (s *Shared) near(after uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading != nil && s.reading.covers(after) {
		return errNear
	}
	return nil
}

// covers reports whether who has seen the log up to a sequence finds the rest here.
func (r *reading) covers(after uint64) bool {
	return !r.ended && r.before <= after && after <= r.last
}

// join makes one a follower of the present reading, or of a new one if there is
// none. The answer is nil when the present one is elsewhere.
func (s *Shared) join(ctx context.Context, after uint64) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading == nil || s.reading.ended {
		s.reading = s.begin(ctx, after)
	}
	r := s.reading
	if !r.covers(after) {
		return nil
	}
	seen, _ := slices.BinarySearchFunc(r.kept, after+1, func(e domain.Record, next uint64) int {
		return cmp.Compare(e.Sequence, next)
	})
	f := &follower{reading: r, at: r.dropped + seen}
	r.followers[f] = true
	return f
}

// begin reads the log until nobody follows, or it ends.
func (s *Shared) begin(ctx context.Context, after uint64) *reading {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &reading{before: after, last: after, changed: make(chan struct{}), followers: map[*follower]bool{}, stop: cancel, stopped: make(chan struct{})}
	go func() {
		defer close(r.stopped)
		defer cancel()
		err := s.feed.Follow(ctx, after, func(ctx context.Context, batch []domain.Record) error { return s.keep(ctx, r, batch) })
		s.mu.Lock()
		defer s.mu.Unlock()
		r.ended, r.err = true, err
		r.change()
	}()
	return r
}

// change tells all who wait that something is different.
func (r *reading) change() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// keep takes a batch in, once no follower is too far behind.
func (s *Shared) keep(ctx context.Context, r *reading, batch []domain.Record) error {
	decodeAll(batch) // once for all
	s.mu.Lock()
	defer s.mu.Unlock()
	for !r.hasRoom() {
		if err := s.wait(ctx, r, time.After(patience)); err != nil {
			return err
		}
	}
	if over := len(r.kept) - window; over > 0 {
		r.before = r.kept[over-1].Sequence
		r.kept, r.dropped = r.kept[over:], r.dropped+over
	}
	if batch = unseen(batch, r.last); len(batch) > 0 {
		r.append(batch)
	}
	r.change()
	return nil
}

func (r *reading) append(batch []domain.Record) {
	if n := len(r.kept) + len(batch); n > cap(r.kept) {
		r.kept = append(make([]domain.Record, 0, 2*n), r.kept...) // what is cut off in front goes with the old array
	}
	r.kept, r.last = append(r.kept, batch...), batch[len(batch)-1].Sequence
}

// hasRoom reports whether no follower is too far behind. Who has held up others
// for too long is left behind.
func (r *reading) hasRoom() bool {
	room := true
	for f := range r.followers {
		switch {
		case r.dropped+len(r.kept)-f.at < window:
		case len(r.followers) > 1 && !f.since.IsZero() && time.Since(f.since) > patience:
			delete(r.followers, f)
		default:
			room = false
		}
	}
	return room
}

// wait lets go of the mutex until something is different, or it is late.
func (s *Shared) wait(ctx context.Context, r *reading, late <-chan time.Time) error {
	changed := r.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
	case <-late:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// follow hands over what is read, until the first error.
func (s *Shared) follow(ctx context.Context, f *follower, handle func(context.Context, []domain.Record) error) error {
	defer s.leave(f)
	for {
		batch, err := s.take(ctx, f)
		if len(batch) == 0 {
			return err
		}
		if err := handle(ctx, batch); err != nil {
			return err
		}
	}
}

// take waits for a follower's next batch; it has handled the one before. Nothing,
// and maybe an error, is the end.
func (s *Shared) take(ctx context.Context, f *follower) ([]domain.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.handled()
	for {
		if !f.followers[f] {
			return nil, errLeftBehind
		}
		if batch := f.next(); len(batch) > 0 {
			return batch, nil
		}
		if f.ended {
			return nil, f.err
		}
		if err := s.wait(ctx, f.reading, nil); err != nil {
			return nil, err
		}
	}
}

// handled takes note that the last batch is.
func (f *follower) handled() {
	f.at, f.taken, f.since = f.at+f.taken, 0, time.Time{}
	f.change()
}

// next is what there is for a follower.
func (f *follower) next() []domain.Record {
	batch, size := f.kept[f.at-f.dropped:], 0
	for i, r := range batch {
		if size += len(r.Data); i == batchEvents || size > batchBytes && i > 0 {
			batch = batch[:i]
			break
		}
	}
	if f.taken = len(batch); f.taken > 0 {
		f.since = time.Now()
	}
	return slices.Clip(batch) // what is kept behind it is the others' too
}

// leave ends a reading that nobody follows any more.
func (s *Shared) leave(f *follower) {
	s.mu.Lock()
	delete(f.followers, f)
	f.change()
	last := len(f.followers) == 0
	f.ended = f.ended || last
	s.mu.Unlock()
	if last {
		f.stop()
		<-f.stopped
	}
}
