package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"outlink/domain"
	"outlink/internal/eventlog"
)

// tailing is what events tail was asked for.
type tailing struct {
	filter eventFilter
	after  int64 // -1: not given
	follow bool
}

func (a *app) eventTail() *cobra.Command {
	var name string
	var t tailing
	c := &cobra.Command{Use: "tail", Short: "Print events as they happen, one JSON object a line", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := t.filter.parse(); err != nil {
			return err
		}
		return a.feed(cmd, name, func(ctx context.Context, feed eventlog.Feed, subjects []string) error {
			return a.tail(ctx, feed, subjects, t, resumed(cmd))
		})
	}}
	t.filter.flags(c)
	c.Flags().StringVar(&name, "link", "", "only this link's, by id or name")
	c.Flags().Int64Var(&t.after, "after", -1, "begin after this sequence; default: at --since, or with what comes next")
	c.Flags().BoolVar(&t.follow, "follow", true, "wait for more; =false: print what there is, from the beginning unless --after or --since says otherwise")
	return c
}

// tail prints events from where it is told to; it ends at --until, or at the end
// of the log when it is not to follow. Interrupted, it says how to go on.
func (a *app) tail(ctx context.Context, feed eventlog.Feed, subjects []string, t tailing, command string) error {
	until := t.filter.to
	t.follow = t.follow && (until.IsZero() || until.After(time.Now()))
	from, err := t.from(ctx, feed)
	if err != nil {
		return err
	}
	if !t.follow {
		return there(ctx, feed, subjects, from, func(r domain.Record) error { return a.events([]domain.Record{r}, t.filter) })
	}
	limited := ctx
	if !until.IsZero() {
		var cancel context.CancelFunc
		limited, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	err = feed.FollowSubjects(limited, subjects, from, func(_ context.Context, batch []domain.Record) error {
		if err := a.events(batch, t.filter); err != nil {
			return err
		}
		from = batch[len(batch)-1].Sequence
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	fmt.Fprintf(a.err, "to go on from here: %s --after %d\n", command, from)
	return err
}

// from is the sequence that tail begins after.
func (t tailing) from(ctx context.Context, feed eventlog.Feed) (uint64, error) {
	switch {
	case t.after >= 0:
		return uint64(t.after), nil
	case !t.filter.from.IsZero():
		return feed.At(ctx, t.filter.from.Add(-time.Nanosecond))
	case !t.follow:
		return 0, nil
	}
	return feed.Head(ctx)
}

// there hands over the events that there are after a sequence.
func there(ctx context.Context, feed eventlog.Feed, subjects []string, after uint64, handle func(domain.Record) error) error {
	last, err := feed.Last(ctx)
	if len(subjects) > 0 {
		last, err = feed.LastOf(ctx, subjects)
	}
	if err != nil {
		return err
	}
	return feed.Each(ctx, subjects, after, last, handle)
}
