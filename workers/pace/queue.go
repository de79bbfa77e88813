package pace

import (
	"math"
	"time"

	"github.com/google/uuid"
)

// queue is who waits for a host. Each caller is told a time of its own to come
// back; those whose tokens end first get the earlier ones.
type queue struct {
	places map[uuid.UUID]place
	ends   map[int64]int // how many wait, by the minute in which their tokens end
}

type place struct {
	at   time.Time
	ends int64
}

func newQueue() queue { return queue{places: map[uuid.UUID]place{}, ends: map[int64]int{}} }

// minute is when the request's token ends; one that nobody knows is last.
func minute(r Request) int64 {
	if r.Ends.IsZero() {
		return math.MaxInt64
	}
	return r.Ends.Unix() / 60
}

// ahead is how many wait whose tokens end no later.
func (q queue) ahead(r Request) int {
	n, own := 0, minute(r)
	for ends, waiting := range q.ends {
		if ends <= own {
			n += waiting
		}
	}
	return n
}

func (q queue) join(r Request, at time.Time) {
	q.leave(r.Grant)
	p := place{at: at, ends: minute(r)}
	q.places[r.Grant] = p
	q.ends[p.ends]++
}

func (q queue) leave(id uuid.UUID) {
	p, ok := q.places[id]
	if !ok {
		return
	}
	delete(q.places, id)
	if q.ends[p.ends]--; q.ends[p.ends] == 0 {
		delete(q.ends, p.ends)
	}
}

// forget drops the places of callers that do not come.
func (q queue) forget(now time.Time) {
	for id, p := range q.places {
		if now.Sub(p.at) > patience {
			q.leave(id)
		}
	}
}
