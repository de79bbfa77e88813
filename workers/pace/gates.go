// Package pace keeps one node's manners towards token endpoints: how fast, how
// many at once, and when not at all.
//
// It knows no grant and sends nothing. A caller that must wait is told for how
// long and holds nothing meanwhile, so that a hundred thousand can wait at once.
// Every number here is this node's own, for the provider's answers tell each of
// them; only a provider's wish to be left alone is passed on (Closed, Close).
package pace

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"outlink/domain/answer"
)

// Request is one token request that somebody wants to send.
type Request struct {
	Host   string // of the token endpoint, with its port
	Client string // the client as it is configured: a changed one is another
	Link   uuid.UUID
	Grant  uuid.UUID // keeps its place in the queue
	Ends   time.Time // when its access token does: who has less time comes first
	Urgent bool      // a reader waits for it
}

// Gates are the gates of all hosts and clients. The zero value is ready.
type Gates struct {
	// Closed is told, when it is set, of each host that asks to be left alone,
	// so that other nodes can be told. It must not wait.
	Closed func(host string, until time.Time)

	// Doubted is told, when it is set, that the refusals at a host, or of a
	// client, are held back from now on. It must not wait.
	Doubted func(d Doubt)

	mu      sync.Mutex
	hosts   map[string]*host
	clients map[string]*client
	swept   time.Time
}

// idle is how long a host or client is remembered that nobody asks for.
const idle = time.Hour

// Enter asks to send now. A positive wait says when to come back instead; else
// done must be called once, with what came of the request, or with the empty
// class when it was not sent after all.
func (g *Gates) Enter(r Request) (done func(class answer.Class, retryAfter time.Duration), wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.sweep(now)
	h, c := g.host(r.Host, now), g.client(r.Client, now)
	if wait := c.wait(now); wait > 0 {
		return nil, wait
	}
	if wait := h.enter(r, now); wait > 0 {
		return nil, wait
	}
	c.enter(now)
	return func(class answer.Class, retryAfter time.Duration) {
		g.mu.Lock()
		defer g.mu.Unlock()
		now := time.Now()
		before := h.closedUntil
		h.leave(class, retryAfter, now)
		c.leave(class, now)
		if class != "" {
			g.doubt(h, c, r, class, now)
		}
		if retryAfter > 0 && h.closedUntil.After(before) && g.Closed != nil {
			g.Closed(r.Host, h.closedUntil)
		}
	}, 0
}

// Close leaves a host alone until a time, an hour at most, as another node was
// asked to.
func (g *Gates) Close(host string, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if most := now.Add(longestWish); until.After(most) {
		until = most
	}
	g.host(host, now).close(until, rateLimited)
}

func (g *Gates) doubt(h *host, c *client, r Request, class answer.Class, now time.Time) {
	known := now.Before(h.doubt.until) || now.Before(c.doubt.until)
	ofHost, ofClient := h.doubt.leave(class, r.Grant, now), c.doubt.leave(class, r.Grant, now)
	if (ofHost || ofClient) && !known && g.Doubted != nil {
		g.Doubted(Doubt{Host: r.Host, Link: r.Link, At: now})
	}
}

// Hold is how long the refusal of a grant waits before it is asked again, because
// so many of its host or client are refused of late that it is hardly their own
// fault: more than one in a hundred, and at least twenty, within ten minutes. 0
// says that it may be believed.
func (g *Gates) Hold(r Request) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	return max(g.host(r.Host, now).doubt.hold(now), g.client(r.Client, now).doubt.hold(now))
}

// Works reports whether the provider has taken the client's word since a time: then
// what one grant suffers is its own trouble, not its link's.
func (g *Gates) Works(r Request, since time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.client(r.Client, time.Now()).answered.After(since)
}

// State is a host's gate as it is now.
type State struct {
	Host        string
	Rate        float64 // requests a second
	Concurrency int     // requests at once
	InFlight    int
	Waiting     int
	ClosedUntil time.Time // zero: open
	Reason      string    // why it is closed: "rate_limited" or "breaker"
}

// States tells all hosts' gates, for status pages and metrics.
func (g *Gates) States() []State {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	all := make([]State, 0, len(g.hosts))
	for name, h := range g.hosts {
		s := State{Host: name, Rate: h.pace(now), Concurrency: int(h.window), InFlight: h.inFlight, Waiting: len(h.waiting.places)}
		if now.Before(h.closedUntil) {
			s.ClosedUntil, s.Reason = h.closedUntil, h.reason
		}
		all = append(all, s)
	}
	return all
}

func (g *Gates) host(name string, now time.Time) *host {
	h := g.hosts[name]
	if h == nil {
		if g.hosts == nil {
			g.hosts = map[string]*host{}
		}
		h = newHost()
		g.hosts[name] = h
	}
	h.used = now
	return h
}

func (g *Gates) client(name string, now time.Time) *client {
	c := g.clients[name]
	if c == nil {
		if g.clients == nil {
			g.clients = map[string]*client{}
		}
		c = &client{doubt: newDoubt()}
		g.clients[name] = c
	}
	c.used = now
	return c
}

// sweep forgets what nobody has asked for in a while.
func (g *Gates) sweep(now time.Time) {
	if now.Sub(g.swept) < time.Minute {
		return
	}
	g.swept = now
	for name, h := range g.hosts {
		h.waiting.forget(now)
		if now.Sub(h.used) > idle && h.inFlight == 0 {
			delete(g.hosts, name)
		}
	}
	for name, c := range g.clients {
		if now.Sub(c.used) > idle {
			delete(g.clients, name)
		}
	}
}
