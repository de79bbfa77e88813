// Package notify tells people what only they can do: it turns events into
// notices that others can subscribe to.
//
// It decides nothing and reads no projection. When many grants of a link need
// the same at once, the first few are told one by one and the rest are counted:
// then it is the link's or the provider's trouble, and a thousand messages would
// hide it.
package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Many is how many notices of one kind about grants of one link are sent one by
// one within Window.
const (
	Many   = 5
	Window = 10 * time.Minute
)

// Worker makes notices. All exported fields are required.
type Worker struct {
	Links   commands.Log[link.State, link.Event]
	Grants  commands.Log[grant.State, grant.Event]
	Publish func(ctx context.Context, n Notice) error // at least once; a repeat has the same id
	Now     func() time.Time

	mu      sync.Mutex
	windows map[topic]*window
}

type topic struct {
	link uuid.UUID
	kind Kind
}

// window counts the notices of a topic since the first one.
type window struct {
	since time.Time
	count int
	told  map[uuid.UUID]bool // the few that were sent one by one
	last  Notice             // events come in order: what is not after it is a repeat
}

// Handle sends the notice that an event asks for, if it asks for one.
func (w *Worker) Handle(ctx context.Context, r domain.Record) error {
	n, ok, err := of(r)
	if !ok || err != nil {
		return err
	}
	if err := w.describe(ctx, &n); err != nil {
		return err
	}
	if n.Grant == uuid.Nil {
		return w.Publish(ctx, n)
	}
	n, send := w.count(n)
	if !send {
		return nil
	}
	return w.Publish(ctx, n)
}

// describe adds what a person knows the link and the grant by.
func (w *Worker) describe(ctx context.Context, n *Notice) error {
	l, err := w.Links.Load(ctx, domain.Key{Link: n.Link})
	if err != nil {
		return fmt.Errorf("describe link %s: %w", n.Link, err)
	}
	n.LinkName, n.Advice = l.State.Name, advice.OfLink(l.State)
	if n.Grant == uuid.Nil {
		return nil
	}
	g, err := w.Grants.Load(ctx, domain.Key{Link: n.Link, Grant: n.Grant})
	if err != nil {
		return fmt.Errorf("describe grant %s: %w", n.Grant, err)
	}
	n.Subject, n.Advice = g.State.Subject, advice.OfGrant(g.State)
	if n.Kind == ReauthorizationDueSoon {
		n.Advice = advice.Advice{
			Why: "The consent ends at " + n.EndsAt.Format(time.RFC3339) + ", and no refresh moves that.",
			Fix: "Authorize it again before: outlink grant authorize LINK, with the grant's subject.",
		}
	}
	return nil
}

// count decides whether a notice is sent by itself, as the one that announces
// that the rest are counted, or only counted.
func (w *Worker) count(n Notice) (Notice, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := topic{n.Link, n.Kind}
	c := w.windows[at]
	if c == nil {
		if w.windows == nil {
			w.windows = map[topic]*window{}
		}
		c = &window{since: w.Now(), told: map[uuid.UUID]bool{}}
		w.windows[at] = c
	}
	if c.told[n.ID] {
		return n, true // delivered again: the one before may not have got through
	}
	if n.Sequence <= c.last.Sequence {
		return n, false // one of those that are only counted, delivered again
	}
	c.count++
	c.last = n
	switch {
	case c.count <= Many:
		c.told[n.ID] = true
		return n, true
	case c.count == Many+1:
		c.told[n.ID] = true
		return forMany(n, c.count), true
	}
	return n, false
}

// forMany speaks for all that were counted so far.
func forMany(n Notice, count int) Notice {
	n.Grant, n.Subject, n.Count = uuid.Nil, "", count
	n.Advice = advice.Advice{
		Why: fmt.Sprintf("%d grants of this link need the same within minutes; further ones are counted and told together.", count),
		Fix: "Look at the link and at its provider first: so many at once are hardly the grants' own fault.",
	}
	return n
}

// Close ends the windows that are over and tells how many came in all. Run it
// every minute or so; with the end of time it closes all.
func (w *Worker) Close(ctx context.Context, now time.Time) error {
	for _, n := range w.over(now) {
		if err := w.Publish(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) over(now time.Time) []Notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sums []Notice
	for at, c := range w.windows {
		if now.Sub(c.since) < Window {
			continue
		}
		delete(w.windows, at)
		if c.count > Many+1 {
			sum := forMany(c.last, c.count)
			sum.ID, sum.At = uuid.NewSHA1(c.last.ID, []byte("sum")), now
			sums = append(sums, sum)
		}
	}
	return sums
}
