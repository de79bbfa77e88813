package pace

import (
	"math"
	"time"

	"golang.org/x/time/rate"

	"outlink/domain/answer"
)

// MostAtOnce is how many requests a host is sent at once at most: less than a
// node does at once, so that a slow host leaves room for the others.
const MostAtOnce = 32

// What a host is asked for at first, and the bounds between which its own
// answers move that.
const (
	firstRate   = 50.0 // requests a second
	lowestRate  = 0.5
	highestRate = 1000.0
	rateStep    = 0.2 // what a success adds
	burst       = 10

	firstWindow   = 8.0 // requests at once
	highestWindow = float64(MostAtOnce)

	urgentShare = 0.2 // of rate and window, for callers somebody waits for

	firstPause   = time.Second // after "too many", when the provider does not say
	longestPause = 5 * time.Minute
	longestWish  = time.Hour // of a Retry-After that is heeded

	patience = 2 * time.Minute // how late a caller may come for its slot
)

// rateLimited is why a host is closed that asked for it.
const rateLimited = "rate_limited"

// host is the gate of one token endpoint.
type host struct {
	rate   float64
	all    *rate.Limiter // for everybody
	urgent *rate.Limiter // for urgent callers alone
	window float64       // requests at once
	cut    time.Time     // when rate and window were last cut

	inFlight int
	waiting  queue // those that were told to come back

	closedUntil time.Time
	reason      string
	pauses      int // "too many" in a row
	breaker     breaker
	ramp        ramp

	doubt doubt
	used  time.Time
}

func newHost() *host {
	return &host{
		rate: firstRate, window: firstWindow, waiting: newQueue(),
		all: rate.NewLimiter(firstRate, burst), urgent: rate.NewLimiter(firstRate*urgentShare, burst),
		breaker: breaker{failed: counter{width: 10 * time.Second}, total: counter{width: 10 * time.Second}},
		doubt:   newDoubt(),
	}
}

// enter returns 0 when the request may be sent, or how long to wait.
func (h *host) enter(r Request, now time.Time) time.Duration {
	if h.closed(now) || !h.allowed(r, now) {
		return h.slot(r, now)
	}
	h.waiting.leave(r.Grant)
	h.inFlight++
	h.breaker.enter()
	return 0
}

// closed reports whether nobody may pass; after the breaker's time is over, one
// may.
func (h *host) closed(now time.Time) bool {
	if now.Before(h.closedUntil) {
		return true
	}
	return h.breaker.probing
}

// allowed reports whether there is room now. Callers whose slot has come, and
// urgent ones, go before those that come for the first time.
func (h *host) allowed(r Request, now time.Time) bool {
	room := math.Ceil(h.window * (1 - urgentShare))
	if r.Urgent {
		room = h.window
	}
	if float64(h.inFlight) >= room {
		return false
	}
	h.limit(now)
	if r.Urgent && h.urgent.AllowN(now, 1) {
		return true
	}
	place, queued := h.waiting.places[r.Grant]
	if !r.Urgent && len(h.waiting.places) > 0 && (!queued || now.Before(place.at)) {
		return false
	}
	return h.all.AllowN(now, 1)
}

// slot gives the caller its place: each its own, at the host's pace, and before
// those whose tokens end later. An urgent one does not queue behind the others.
func (h *host) slot(r Request, now time.Time) time.Duration {
	from := later(now, h.closedUntil)
	if r.Urgent {
		return from.Add(h.taking(1, from)).Sub(now)
	}
	if place, queued := h.waiting.places[r.Grant]; queued && place.at.After(now) {
		return place.at.Sub(now)
	}
	h.waiting.leave(r.Grant)
	at := from.Add(h.taking(h.waiting.ahead(r)+1, from))
	h.waiting.join(r, at)
	return at.Sub(now)
}

// taking is how long the host takes for n requests from a time on; its pace grows
// while it comes back.
func (h *host) taking(n int, from time.Time) time.Duration {
	left := float64(n)
	for at := from; ; at = at.Add(time.Minute) {
		pace := h.pace(at)
		if seconds := left / pace; seconds <= 60 || pace >= h.rate {
			return at.Sub(from) + time.Duration(seconds*float64(time.Second))
		}
		left -= 60 * pace
	}
}

// leave takes in what came of a request.
func (h *host) leave(class answer.Class, retryAfter time.Duration, now time.Time) {
	h.inFlight--
	if class == "" {
		h.breaker.probing = false
		return
	}
	failed := class == answer.Ambiguous || class == answer.NotSent
	if openFor := h.breaker.leave(failed, now); openFor > 0 {
		h.close(now.Add(openFor), "breaker")
		h.ramp = ramp{}
	} else if h.breaker.healed {
		h.breaker.healed = false
		h.ramp = ramp{since: now, from: max(h.rate/10, lowestRate)}
	}
	switch {
	case retryAfter > 0 && class != answer.Issued:
		h.wish(retryAfter, now)
	case class == answer.RateLimited:
		h.tooMany(now)
	case failed:
		h.slower(now, h.rate)
	default:
		h.well()
	}
}

// well lets the host be asked a little more.
func (h *host) well() {
	h.pauses = 0
	h.rate = min(h.rate+rateStep, highestRate)
	h.window = min(h.window+1/h.window, highestWindow)
}

// wish heeds a Retry-After, whatever else the answer says: it is the host that
// asks to be left alone, not one grant.
func (h *host) wish(retryAfter time.Duration, now time.Time) {
	h.slower(now, h.rate/2)
	h.close(now.Add(min(retryAfter, longestWish)), rateLimited)
}

// tooMany pauses for ever longer when the provider does not say for how long.
func (h *host) tooMany(now time.Time) {
	h.slower(now, h.rate/2)
	h.close(now.Add(min(firstPause<<min(h.pauses, 10), longestPause)), rateLimited)
	h.pauses++
}

// slower cuts, once a second at most: what is in flight together is answered
// together, and says one thing.
func (h *host) slower(now time.Time, to float64) {
	if now.Sub(h.cut) < time.Second {
		return
	}
	h.cut = now
	h.rate = max(to, lowestRate)
	h.window = max(h.window/2, 1)
}

func (h *host) close(until time.Time, reason string) {
	if until.After(h.closedUntil) {
		h.closedUntil, h.reason = until, reason
	}
}

// pace is the rate as it is now, in requests a second.
func (h *host) pace(now time.Time) float64 { return min(h.rate, h.ramp.at(now)) }

func (h *host) limit(now time.Time) {
	pace := rate.Limit(h.pace(now))
	if h.all.Limit() != pace {
		h.all.SetLimitAt(now, pace)
		h.urgent.SetLimitAt(now, pace*urgentShare)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
