package pace

import (
	"maps"
	"math"
	"time"

	"github.com/google/uuid"

	"outlink/domain/answer"
)

// When refusals are doubted.
const (
	fewRefusals  = 3                // within ten minutes: whether they are many shows soon
	manyRefusals = 20               // within ten minutes, and more than one in a hundred
	soon         = time.Minute      // how long a refusal waits that may be one of many
	probesBegin  = 10 * time.Minute // after many, nobody asks again before that
	doubtLasts   = 10 * time.Minute // after the last refusal
	doubtEnds    = 6 * time.Hour    // whatever comes: by then a person has been told
	doubtsEvery  = 24 * time.Hour
	firstProbes  = 10.0 // asked again in the first minute; in each further one, twice as many
)

// Doubt says that the refusals of many grants are held back.
type Doubt struct {
	Host string
	Link uuid.UUID // whose refusal was the last straw
	At   time.Time
}

// doubt watches the refusals at a host, or of a client. When many come at once
// they are hardly the grants' own fault, and none of them is believed: neither
// those of before that wait still, nor the later ones.
type doubt struct {
	refused, asked counter                 // within ten minutes; a grant that is refused again counts once
	grants         map[uuid.UUID]time.Time // when each was refused first
	pruned         time.Time
	since, until   time.Time
	held           int // since then
}

func newDoubt() doubt {
	return doubt{refused: counter{width: 100 * time.Second}, asked: counter{width: 100 * time.Second}, grants: map[uuid.UUID]time.Time{}}
}

// leave takes in an answer, and reports whether the doubt begins with it.
func (d *doubt) leave(class answer.Class, grant uuid.UUID, now time.Time) (begins bool) {
	d.asked.add(now)
	if class != answer.GrantInvalid && class != answer.InteractionRequired {
		return false
	}
	if d.first(grant, now) {
		d.refused.add(now)
	}
	switch {
	case now.Before(d.until) && d.refusals(now) > 0:
		d.until = earlier(now.Add(doubtLasts+probesBegin), d.since.Add(doubtEnds))
	case d.refusals(now) >= manyRefusals && (d.since.IsZero() || now.Sub(d.since) >= doubtsEvery):
		d.since, d.until, d.held = now, now.Add(doubtLasts+probesBegin), 0
		return true
	}
	return false
}

// first reports whether a grant was not refused within the last ten minutes: one
// that is asked again and again is not many.
func (d *doubt) first(grant uuid.UUID, now time.Time) bool {
	last, known := d.grants[grant]
	known = known && now.Sub(last) < doubtLasts
	if now.Sub(d.pruned) >= doubtLasts {
		d.pruned = now
		maps.DeleteFunc(d.grants, func(_ uuid.UUID, at time.Time) bool { return now.Sub(at) >= doubtLasts })
	}
	if grant != uuid.Nil && !known {
		d.grants[grant] = now
	}
	return !known
}

// refusals are those of late, or none when they are one in a hundred at most.
func (d *doubt) refusals(now time.Time) int {
	n := d.refused.sum(now)
	if n*100 <= d.asked.sum(now) {
		return 0
	}
	return n
}

// hold is how long a refusal waits before it is asked again; 0: it is believed.
// Those that are held come again over a while, few at first.
func (d *doubt) hold(now time.Time) time.Duration {
	if now.Before(d.until) {
		d.held++
		return probesBegin + time.Duration(math.Log2(1+float64(d.held)/firstProbes)*float64(time.Minute))
	}
	judged := !d.since.IsZero() && now.Sub(d.since) < doubtsEvery
	if n := d.refusals(now); n >= fewRefusals && n < manyRefusals && !judged {
		return soon
	}
	return 0
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
