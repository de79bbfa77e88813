package eventlog

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"outlink/domain"
)

// Whatever the pace of either side, each event is taken once and in its order, in
// batches within their bounds that stay as they were taken; and then the error.
func TestArrivals(t *testing.T) {
	const events, size = 50_000, 1000
	unread := errors.New("what is behind them")
	for name, pause := range map[string]struct{ adding, taking time.Duration }{
		"a slow reader": {adding: time.Millisecond}, "a slow handler": {taking: time.Millisecond}, "both as they can": {},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArrivals()
			go func() {
				for n := range events {
					a.add(t.Context(), domain.Record{Sequence: uint64(n + 1)}, size, nil)
					if n%5000 == 0 {
						time.Sleep(pause.adding)
					}
				}
				a.add(t.Context(), domain.Record{}, 0, unread)
			}()
			var taken [][]domain.Record
			for {
				batch, err := a.take(t.Context())
				if len(batch) > batchEvents || (len(batch)-1)*size >= batchBytes {
					t.Fatalf("a batch has %d events of %d bytes", len(batch), size)
				}
				taken = append(taken, batch)
				if err != nil {
					if !errors.Is(err, unread) {
						t.Fatal(err)
					}
					break
				}
				time.Sleep(pause.taking)
			}
			last := uint64(0)
			for _, batch := range taken {
				for _, r := range batch {
					if r.Sequence != last+1 {
						t.Fatalf("event %d follows event %d", r.Sequence, last)
					}
					last = r.Sequence
				}
			}
			if last != events {
				t.Errorf("%d of %d events were taken", last, events)
			}
		})
	}
}

// Who waits, for an event or for room, waits no longer than its context; and then
// nothing comes any more, for it may come after what was dropped.
func TestArrivalsEnd(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	a := newArrivals()
	for n := range batchEvents {
		a.add(ctx, domain.Record{Sequence: uint64(n + 1)}, 1, nil)
	}
	time.AfterFunc(10*time.Millisecond, end)
	a.add(ctx, domain.Record{Sequence: batchEvents + 1}, 1, nil)
	if batch, err := a.take(t.Context()); len(batch) != batchEvents || err != nil {
		t.Errorf("%d events, %v; there is room for %d", len(batch), err, batchEvents)
	}
	for range 100 {
		a.add(ctx, domain.Record{Sequence: batchEvents + 2}, 1, nil)
		if batch, err := a.take(ctx); len(batch) > 0 || !errors.Is(err, context.Canceled) {
			t.Fatalf("%d events behind the end, %v", len(batch), err)
		}
	}
}

// What was taken does not stay in memory for the sake of what comes.
func TestArrivalsLetGo(t *testing.T) {
	a := newArrivals()
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	for range 2000 {
		a.add(t.Context(), domain.Record{Data: make([]byte, 50<<10)}, 50<<10, nil)
		if _, err := a.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if grown := held() - before; grown > 2*arrayBytes {
		t.Errorf("%d MiB are held of events that were taken", grown>>20)
	}
	runtime.KeepAlive(a)
}
