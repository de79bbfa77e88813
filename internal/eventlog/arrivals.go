package eventlog

import (
	"context"
	"slices"
	"sync"

	"outlink/domain"
)

// arrivals are the events that have been read and not yet handed over: one batch at
// most, which fills while the one before is handled. One goroutine adds to it, and
// another one takes.
type arrivals struct {
	mu    sync.Mutex
	batch []domain.Record
	room  int   // events that the array of batches takes
	size  int   // bytes of the batch's data
	err   error // what came after the batch can't be read

	some  chan struct{} // holds something while there is something to take
	taken chan struct{} // holds something after a batch was taken
}

// smallBatch is how many events a reader makes room for at first.
const smallBatch = 64

func newArrivals() *arrivals {
	return &arrivals{some: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

// add waits for room, or for the end.
func (a *arrivals) add(ctx context.Context, r domain.Record, size int, err error) {
	for !a.added(r, size, err) {
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
		a.batch = append(make([]domain.Record, 0, max(a.room, 2*len(a.batch))), a.batch...)
	}
	a.batch, a.size = append(a.batch, r), a.size+size
}

// take waits for an event and returns what else is there, and the error of what
// comes behind. The batch is the caller's.
func (a *arrivals) take(ctx context.Context) ([]domain.Record, error) {
	select {
	case <-a.some:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := slices.Clip(a.batch)
	a.batch, a.size = a.batch[len(a.batch):], 0
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
