package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/link"
	"outlink/domain/notice"
)

// Topic is what notices are counted by.
type Topic struct {
	Link uuid.UUID   `json:"link_id"`
	Kind notice.Kind `json:"kind"`
}

// Window is what was told of a topic since its first notice. What came beyond
// that is counted in the log when the window ends, so that all nodes of an
// installation keep one count, over restarts too.
type Window struct {
	Topic
	Since time.Time   `json:"since"`
	First uint64      `json:"first"` // sequence of the first event
	Told  []uuid.UUID `json:"told"`  // the ids of the notices that were sent
}

// Windows are the open windows, shared by all nodes. Store and Drop fail with
// [commands.ErrOvertaken] when the window is no longer at the revision; 0 is that
// of one that does not exist.
type Windows interface {
	Load(ctx context.Context, t Topic) (w Window, revision uint64, err error)
	Store(ctx context.Context, w Window, revision uint64) error
	Drop(ctx context.Context, t Topic, revision uint64) error
	All(ctx context.Context) ([]Topic, error)
}

// ofLinkItself reports whether the kind is about a link itself, or about the log.
func ofLinkItself(k notice.Kind) bool {
	return k == notice.LinkDegraded || k == notice.LinkRecovered || k == notice.ForeignMessage
}

// most is how many notices of a kind are sent within a window; of grants, the
// last of them says that the rest are counted.
func most(k notice.Kind) int {
	if ofLinkItself(k) {
		return 1
	}
	return Many + 1
}

func (w Window) over(now time.Time) bool { return len(w.Told) > 0 && now.Sub(w.Since) >= WindowLasts }

// tries bounds how often a window is read anew because another node changed it.
const tries = 20

// enter decides whether a notice is sent by itself, as the one that announces
// that the rest are counted, or only counted.
func (w *Worker) enter(ctx context.Context, n notice.Notice) (notice.Notice, bool, error) {
	t := Topic{n.Link, n.Kind}
	for range tries {
		c, revision, err := w.Windows.Load(ctx, t)
		if err != nil {
			return n, false, err
		}
		if at := slices.Index(c.Told, n.ID); at >= 0 {
			return announcing(n, at), true, nil // delivered again: the one before may not have got through
		}
		if c.over(w.Now()) {
			if err := w.end(ctx, c, revision, w.Now()); err != nil {
				return n, false, err
			}
			continue
		}
		if len(c.Told) >= most(n.Kind) {
			return n, false, nil
		}
		err = w.Windows.Store(ctx, c.with(t, n, w.Now()), revision)
		if err == nil {
			return announcing(n, len(c.Told)), true, nil
		}
		if !errors.Is(err, commands.ErrOvertaken) {
			return n, false, err
		}
	}
	return n, false, fmt.Errorf("count a notice of link %s: its window changes too often", n.Link)
}

func (w Window) with(t Topic, n notice.Notice, now time.Time) Window {
	if len(w.Told) == 0 {
		w = Window{Topic: t, Since: now, First: n.Sequence}
	}
	w.First = min(w.First, n.Sequence)
	w.Told = append(slices.Clone(w.Told), n.ID)
	return w
}

// announcing makes the last notice of a window speak for all.
func announcing(n notice.Notice, at int) notice.Notice {
	if ofLinkItself(n.Kind) || at < Many {
		return n
	}
	return forMany(n, at+1)
}

// forMany speaks for all that were counted so far.
func forMany(n notice.Notice, count int) notice.Notice {
	n.Grant, n.Subject, n.Count = uuid.Nil, "", count
	n.Advice = advice.Advice{
		Why: fmt.Sprintf("%d grants of this link need the same within minutes; further ones are counted and told together.", count),
		Fix: "Look at the link and at its provider first: so many at once are hardly the grants' own fault.",
	}
	return n
}

// Close ends the windows that are over and tells how many came in all. Run it
// every minute or so, on any number of nodes.
func (w *Worker) Close(ctx context.Context, now time.Time) error {
	topics, err := w.Windows.All(ctx)
	if err != nil {
		return err
	}
	var all []error
	for _, t := range topics {
		c, revision, err := w.Windows.Load(ctx, t)
		if err == nil && c.over(now) {
			err = w.end(ctx, c, revision, now)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// end tells the sum of a window, and forgets it. The sum of a window has one id,
// whoever tells it.
func (w *Worker) end(ctx context.Context, c Window, revision uint64, now time.Time) error {
	sum, send, err := w.sum(ctx, c, now)
	if err != nil {
		return err
	}
	if send {
		if err := w.Publish(ctx, sum); err != nil {
			return err
		}
	}
	if err := w.Windows.Drop(ctx, c.Topic, revision); !errors.Is(err, commands.ErrOvertaken) {
		return err
	}
	return nil // another node did
}

// sum counts what came in a window. A link that went to and fro is told of once
// more, if it is not as it was told to be last.
func (w *Worker) sum(ctx context.Context, c Window, now time.Time) (n notice.Notice, send bool, err error) {
	if len(c.Told) < most(c.Kind) {
		return n, false, nil
	}
	records, err := w.Since(ctx, c.Link, c.First-1)
	if err != nil {
		return n, false, fmt.Errorf("count the notices of link %s: %w", c.Link, err)
	}
	events, grants := 0, map[uuid.UUID]bool{}
	for _, r := range records {
		if one, ok, err := of(r); err == nil && ok && one.Kind == c.Kind {
			n, events, grants[r.Grant] = one, events+1, true
		}
	}
	n.ID, n.At = uuid.NewSHA1(c.Told[0], []byte("sum")), now
	if ofLinkItself(c.Kind) {
		return w.sumOfLink(ctx, n, events)
	}
	n = forMany(n, len(grants))
	l, err := w.Links.Load(ctx, domain.Key{Link: c.Link})
	n.LinkName = l.State.Name
	return n, len(grants) > Many+1, err
}

func (w *Worker) sumOfLink(ctx context.Context, n notice.Notice, events int) (notice.Notice, bool, error) {
	if events < 2 {
		return n, false, nil
	}
	if err := w.describe(ctx, &n); err != nil {
		return n, false, err
	}
	l, err := w.Links.Load(ctx, domain.Key{Link: n.Link})
	n.Count = events
	degraded := l.State.Status() == link.StatusDegraded
	return n, degraded == (n.Kind == notice.LinkDegraded), err
}
