package eventlog

import (
	"context"
	"slices"
	"sync"

	"outlink/domain"
)

// arrivals are the events that have been read and not yet handed over: one batch at
// most, which fills while the one before is handled. One at a time adds to it, and
// another one takes.
type arrivals struct {
	mu    sync.Mutex
	batch []domain.Record
	room  int   // events that the array of batches takes
	used  int   // bytes of the events in it
	size  int   // bytes of the batch's data
	err   error // what came after the batch can't be read

	some  chan struct{} // holds something while there is something to take
	taken chan struct{} // holds something after a batch was taken
}

const (
	smallBatch = 64      // events that a reader makes room for at first
	arrayBytes = 8 << 20 // of events that were handed over, and stay in memory as long as their array
)

func newArrivals() *arrivals {
	return &arrivals{some: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

// add waits for room, or for the end. Once the context has ended it adds nothing:
// what came before may not have been added either.
func (a *arrivals) add(ctx context.Context, r domain.Record, size int, err error) {
	for ctx.Err() == nil && !a.added(r, size, err) {
		select {
		case <-a.taken:
		case <-ctx.Done():
			return
		}
	}
}

func (a *arrivals) added(r domain.Record, size int, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.batch) == batchEvents || a.size >= batchBytes || a.err != nil {
		return false
	}
	if a.err = err; err == nil {
		a.append(r, size)
	}
	signal(a.some)
	return true
}

// append has batches follow each other in one array, which is of a whole batch once
// that many came: most are smaller, and to let each grow is to copy it.
func (a *arrivals) append(r domain.Record, size int) {
	if len(a.batch) == cap(a.batch) {
		a.room = min(max(2*a.room, smallBatch), batchEvents)
		a.batch, a.used = append(make([]domain.Record, 0, max(a.room, 2*len(a.batch))), a.batch...), a.size
	}
	a.batch, a.size, a.used = append(a.batch, r), a.size+size, a.used+size
}

// take waits for an event and returns what else is there, and the error of what
// comes behind. The batch is the caller's. Once the context has ended there is none.
func (a *arrivals) take(ctx context.Context) ([]domain.Record, error) {
	select {
	case <-a.some:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := slices.Clip(a.batch)
	a.batch, a.size = a.batch[len(a.batch):], 0
	if a.used >= arrayBytes {
		a.batch, a.used = nil, 0
	}
	signal(a.taken)
	return batch, a.err
}

// signal leaves a word for one who waits, unless there is one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
