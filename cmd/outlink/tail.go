package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
			at, err := a.tail(ctx, feed, subjects, t)
			if t.follow {
				fmt.Fprintf(a.err, "to go on from here: %s --after %d\n", resumed(cmd), at)
			}
			return err
		})
	}}
	t.filter.flags(c)
	c.Flags().StringVar(&name, "link", "", "only this link's, by id or name")
	c.Flags().Int64Var(&t.after, "after", -1, "begin after this sequence; default: at --since, or with what comes next")
	c.Flags().BoolVar(&t.follow, "follow", true, "wait for more; =false: print what there is, from the beginning unless --after or --since says otherwise")
	return c
}

// resumed is the command line that was given, without where it began, and without
// how to reach the server: that may hold a password.
func resumed(cmd *cobra.Command) string {
	line := cmd.CommandPath()
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "after" {
			line += fmt.Sprintf(" --%s=%q", f.Name, strings.Trim(f.Value.String(), "[]"))
		}
	})
	return line
}

// tail prints events from where it is told to; it ends at --until, or at the end
// of the log when it is not to follow. It returns how far it came.
func (a *app) tail(ctx context.Context, feed eventlog.Feed, subjects []string, t tailing) (at uint64, err error) {
	until := t.filter.to
	t.follow = t.follow && (until.IsZero() || until.After(time.Now()))
	if at, err = t.from(ctx, feed); err != nil {
		return 0, err
	}
	if !t.follow {
		return at, a.tailed(ctx, feed, subjects, at, t.filter)
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if !until.IsZero() {
		limited, cancel = context.WithDeadline(ctx, until)
	}
	defer cancel()
	err = feed.FollowSubjects(limited, subjects, at, func(_ context.Context, batch []domain.Record) error {
		if err := a.events(batch, t.filter); err != nil {
			return err
		}
		at = batch[len(batch)-1].Sequence
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return at, nil
	}
	return at, err
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

// tailed prints what there is.
func (a *app) tailed(ctx context.Context, feed eventlog.Feed, subjects []string, from uint64, filter eventFilter) error {
	last, err := feed.Last(ctx)
	if len(subjects) > 0 {
		last, err = feed.LastOf(ctx, subjects)
	}
	if err != nil {
		return err
	}
	return feed.Each(ctx, subjects, from, last, func(r domain.Record) error { return a.events([]domain.Record{r}, filter) })
}
