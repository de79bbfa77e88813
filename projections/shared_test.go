package projections_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlink/domain"
	"outlink/projections"
)

// numbered is a log of so many events, which counts how often it is read. Its end
// is what it is told to end with; nil: it goes on.
type numbered struct {
	last uint64
	end  error

	mu       sync.Mutex
	readings int
}

func (n *numbered) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	n.mu.Lock()
	n.readings++
	n.mu.Unlock()
	for after < n.last {
		var batch []domain.Record
		for range min(n.last-after, 1+rand.Uint64N(700)) {
			after++
			batch = append(batch, domain.Record{Sequence: after})
		}
		if err := handle(ctx, batch); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	if n.end != nil {
		return n.end
	}
	<-ctx.Done()
	return ctx.Err()
}

// reader is one who follows up to an event, and checks that nothing is left out.
type reader struct {
	after, upTo uint64
	took        func(at uint64) time.Duration
	at          uint64
	err         error
}

var errThere = errors.New("it is there")

func (r *reader) follow(t *testing.T, f projections.Feed) {
	r.at = r.after
	r.err = f.Follow(t.Context(), r.after, func(_ context.Context, batch []domain.Record) error {
		if len(batch) > 2000 {
			t.Errorf("a batch of %d events", len(batch))
		}
		for _, e := range batch {
			if e.Sequence > r.at+1 {
				return fmt.Errorf("event %d follows %d", e.Sequence, r.at)
			}
			r.at = max(r.at, e.Sequence)
		}
		if r.took != nil {
			time.Sleep(r.took(r.at))
		}
		if r.upTo > 0 && r.at >= r.upTo {
			return errThere
		}
		return nil
	})
}

func together(t *testing.T, f projections.Feed, all ...*reader) {
	t.Helper()
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() { r.follow(t, f) })
	}
	wg.Wait()
}

func sometimes(most time.Duration) func(uint64) time.Duration {
	return func(uint64) time.Duration { return rand.N(most) }
}

// TestSharedReading: who follows at about the same place gets all of it, whoever
// is slower, and the log is read once.
func TestSharedReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &numbered{last: 50_000}
		all := []*reader{
			{upTo: 50_000, took: sometimes(time.Millisecond)}, {upTo: 50_000, took: sometimes(50 * time.Millisecond)}, {upTo: 50_000},
		}
		together(t, projections.Share(log), all...)
		for i, r := range all {
			if r.at != 50_000 || !errors.Is(r.err, errThere) {
				t.Errorf("follower %d came to %d: %v", i, r.at, r.err)
			}
		}
		if log.readings != 1 {
			t.Errorf("the log was read %d times", log.readings)
		}
	})
}

// TestElsewhere: who is far away reads for itself, and joins the others when it is
// near.
func TestElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &numbered{last: 100_000}
		shared := projections.Share(log)
		ahead := &reader{after: 60_000, upTo: 100_000, took: func(at uint64) time.Duration {
			if at == 100_000 {
				return time.Minute
			}
			return 10 * time.Millisecond
		}}
		behind := &reader{after: 10, upTo: 100_000}
		late := &reader{after: 99_000, upTo: 100_000}
		together(t, shared, ahead, behind)
		if ahead.at != 100_000 || behind.at != 100_000 {
			t.Errorf("they came to %d and %d", ahead.at, behind.at)
		}
		if log.readings != 2 {
			t.Errorf("the log was read %d times", log.readings)
		}
		together(t, shared, late) // nobody reads any more
		if late.at != 100_000 || log.readings != 3 {
			t.Errorf("who came later came to %d in reading %d", late.at, log.readings)
		}
	})
}

// TestHeldUp: one who does not get on holds up the others for a moment only, and
// misses nothing.
func TestHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &numbered{last: 100_000}
		began, stuck := time.Now(), false
		other := &reader{upTo: 100_000}
		slow := &reader{upTo: 100_000, took: func(uint64) time.Duration {
			if stuck {
				return 0
			}
			stuck = true
			return time.Hour
		}}
		shared := projections.Share(log)
		var wg sync.WaitGroup
		wg.Go(func() { slow.follow(t, shared) })
		other.follow(t, shared)
		if took := time.Since(began); other.at != 100_000 || took > 10*time.Second {
			t.Errorf("the other one came to %d in %v", other.at, took)
		}
		wg.Wait()
		if slow.at != 100_000 {
			t.Errorf("the slow one came to %d", slow.at)
		}
	})
}

// TestSharedEnd: what ends the log comes to all, after everything before it, and
// the next one begins anew.
func TestSharedEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &numbered{last: 5_000, end: &domain.UnreadableError{Sequence: 5_001}}
		shared := projections.Share(log)
		for range 2 {
			all := []*reader{{took: sometimes(time.Second)}, {}}
			together(t, shared, all...)
			for i, r := range all {
				var unread *domain.UnreadableError
				if r.at != 5_000 || !errors.As(r.err, &unread) {
					t.Errorf("follower %d came to %d: %v", i, r.at, r.err)
				}
			}
		}
		if log.readings != 2 {
			t.Errorf("the log was read %d times", log.readings)
		}
	})
}

// TestSharedLeaving: who leaves takes nothing from who stays.
func TestSharedLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &numbered{last: 30_000}
		first, second := &reader{upTo: 3_000}, &reader{upTo: 30_000, took: sometimes(5 * time.Millisecond)}
		together(t, projections.Share(log), first, second)
		if !errors.Is(first.err, errThere) || second.at != 30_000 || log.readings != 1 {
			t.Errorf("%v; the other one came to %d in %d readings", first.err, second.at, log.readings)
		}
	})
}
