package pace

import (
	"math"
	"time"
)

// breaker opens when at least half of at least twenty requests of the last
// minute failed: for 30 s at first, and twice as long, up to 10 min, each time
// that the one request which then finds out fails too. (No library: it shares
// its counts with the rate and the pause of the same host, and its time doubles.)
type breaker struct {
	total, failed counter
	opened        int // times in a row
	probing       bool
	half          bool // the next request finds out
	healed        bool // it has found out that the host is well
}

const (
	leastRequests = 20
	firstOpen     = 30 * time.Second
	longestOpen   = 10 * time.Minute
)

func (b *breaker) enter() {
	b.probing = b.half
}

// leave returns for how long the breaker opens, or 0.
func (b *breaker) leave(failed bool, now time.Time) time.Duration {
	b.total.add(now)
	if failed {
		b.failed.add(now)
	}
	if b.probing {
		b.probing, b.half = false, failed
		b.healed = !failed
		if b.healed {
			b.opened = 0
			b.total.clear()
			b.failed.clear()
			return 0
		}
		return b.open()
	}
	if total := b.total.sum(now); b.half || total < leastRequests || 2*b.failed.sum(now) < total {
		return 0
	}
	return b.open()
}

func (b *breaker) open() time.Duration {
	d := min(firstOpen<<min(b.opened, 10), longestOpen)
	b.opened++
	b.half = true
	return d
}

// ramp lets a host that was away come back slowly: a tenth of its rate at first,
// twice as much each minute.
type ramp struct {
	since time.Time
	from  float64
}

func (r ramp) at(now time.Time) float64 {
	if r.since.IsZero() {
		return math.Inf(1)
	}
	return r.from * math.Exp2(now.Sub(r.since).Minutes())
}

// counter counts within a window of six widths.
type counter struct {
	width time.Duration
	cells [6]int
	last  time.Time // start of the newest cell
}

func (c *counter) add(now time.Time) {
	c.turn(now)
	c.cells[0]++
}

func (c *counter) sum(now time.Time) int {
	c.turn(now)
	n := 0
	for _, cell := range c.cells {
		n += cell
	}
	return n
}

func (c *counter) clear() { c.cells = [6]int{} }

// turn moves the cells on.
func (c *counter) turn(now time.Time) {
	if c.last.IsZero() {
		c.last = now
	}
	for i := 0; now.Sub(c.last) >= c.width; i++ {
		if i == len(c.cells) {
			c.last = now
			break
		}
		copy(c.cells[1:], c.cells[:len(c.cells)-1])
		c.cells[0] = 0
		c.last = c.last.Add(c.width)
	}
}
