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
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/notice"
)

// Many is how many notices of one kind about grants of one link are sent one by
// one within a window.
const (
	Many        = 5
	WindowLasts = 10 * time.Minute
)

// Worker makes notices. All exported fields are required.
type Worker struct {
	Links   commands.Log[link.State, link.Event]
	Grants  commands.Log[grant.State, grant.Event]
	Publish func(ctx context.Context, n notice.Notice) error // at least once; a repeat has the same id
	Now     func() time.Time
	Windows Windows
	Since   func(ctx context.Context, link uuid.UUID, after uint64) ([]domain.Record, error) // the log of a link and its grants
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
	if n.Kind == notice.TokenStale {
		if ok, err := w.stale(ctx, &n); !ok || err != nil {
			return err
		}
	}
	n, send, err := w.enter(ctx, n)
	if err != nil || !send {
		return err
	}
	return w.Publish(ctx, n)
}

// staleNews is how long after its first time a stale token is news: as long as
// the stream of notices knows a repeat by its id.
const staleNews = 75 * time.Minute

// stale reports whether a token is stale still, and was not long ago: each failed
// try says so again, and all of them for one token are one notice.
func (w *Worker) stale(ctx context.Context, n *notice.Notice) (bool, error) {
	g, err := w.Grants.Load(ctx, domain.Key{Link: n.Link, Grant: n.Grant})
	c := g.State.Credential
	if err != nil || c == nil {
		return false, err
	}
	n.ID = uuid.NewSHA1(n.Grant, fmt.Appendf(nil, "stale %d", c.Generation))
	ago := n.At.Sub(c.ExpiresAt)
	return ago > 0 && ago < staleNews, nil
}

// describe adds what a person knows the link and the grant by.
func (w *Worker) describe(ctx context.Context, n *notice.Notice) error {
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
	if n.Kind == notice.ReauthorizationDueSoon {
		n.Advice = advice.Advice{
			Why: "The consent ends at " + n.EndsAt.Format(time.RFC3339) + ", and no refresh moves that.",
			Fix: "Authorize it again before: outlink grant authorize LINK, with the grant's subject.",
		}
	}
	return nil
}
