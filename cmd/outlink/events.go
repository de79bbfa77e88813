package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
)

func (a *app) eventCommands() *cobra.Command {
	c := &cobra.Command{Use: "events", Short: "The event log"}
	c.AddCommand(a.eventList(), a.eventTail(), a.eventStep(), a.eventExport(), a.eventImport(), a.eventVerify(), a.eventRotateKey())
	a.guarded(c)
	return c
}

// eventView is an event as it is printed.
type eventView struct {
	Sequence uint64    `json:"sequence"`
	Type     string    `json:"type"`
	Time     string    `json:"time"`
	Actor    string    `json:"actor"`
	Link     uuid.UUID `json:"link_id"`
	Grant    uuid.UUID `json:"grant_id,omitzero"`
	Data     any       `json:"data"`
}

func view(r domain.Record) eventView {
	return eventView{Sequence: r.Sequence, Type: r.Type, Time: r.Time.Format("2006-01-02T15:04:05.000Z07:00"), Actor: r.Actor, Link: r.Link, Grant: r.Grant, Data: r.Data}
}

// feed reads the log itself: history needs no read model.
func (a *app) feed(cmd *cobra.Command, name string, f func(ctx context.Context, feed eventlog.Feed, subjects []string) error) error {
	nc, err := a.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ns := bus.Namespace(a.namespace)
	var subjects []string
	if name != "" {
		id, err := linkID(cmd.Context(), client.Client{NC: nc, Namespace: a.namespace}, name)
		if err != nil {
			return err
		}
		subjects = []string{ns.LinkEvents(id), ns.GrantsOf(id)}
	}
	guard, err := a.guard(cmd.Context(), js)
	if err != nil {
		return err
	}
	feed := eventlog.Feed{JS: js, Namespace: ns, Guard: guard}
	if guard == nil { // which tells of them, too
		feed.Junk = func(r domain.Record) {
			fmt.Fprintf(a.err, "message %d of the log is left out: %s\n", r.Sequence, r.Foreign)
		}
	}
	err = f(cmd.Context(), feed, subjects)
	if _, unreadable := errors.AsType[*domain.UnreadableError](err); unreadable && guard == nil {
		err = fmt.Errorf("%w; if no node wrote it, give --kek-file, or OUTLINK_KEK_FILE, to leave it out", err)
	}
	return err
}

// eventFilter chooses events by what the log does not index.
type eventFilter struct {
	types        []string
	actor        string
	since, until string
	from, to     time.Time
}

func (f *eventFilter) flags(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.types, "type", nil, "only these types, in full or by a part such as grant.refresh")
	c.Flags().StringVar(&f.actor, "by", "", "only what this actor caused, or actors that begin so with a * at the end")
	c.Flags().StringVar(&f.since, "since", "", "only from this time on, such as 2026-11-24T12:00:00Z")
	c.Flags().StringVar(&f.until, "until", "", "only up to this time")
}

func (f *eventFilter) parse() (err error) {
	for _, t := range []struct {
		text string
		to   *time.Time
	}{{f.since, &f.from}, {f.until, &f.to}} {
		if t.text == "" {
			continue
		}
		if *t.to, err = time.Parse(time.RFC3339, t.text); err != nil {
			return usage(fmt.Sprintf("%q is no time such as 2026-11-24T12:00:00Z", t.text))
		}
	}
	return nil
}

func (f *eventFilter) takes(r domain.Record) bool {
	prefix, open := strings.CutSuffix(f.actor, "*")
	switch {
	case r.Foreign != "":
		return false
	case !f.from.IsZero() && r.Time.Before(f.from), !f.to.IsZero() && r.Time.After(f.to):
		return false
	case f.actor != "" && r.Actor != f.actor && (!open || !strings.HasPrefix(r.Actor, prefix)):
		return false
	}
	const all = "outlink." // in which "link." is, too
	return len(f.types) == 0 || slices.ContainsFunc(f.types, func(t string) bool {
		return strings.Contains(strings.TrimPrefix(r.Type, all), strings.TrimPrefix(t, all))
	})
}

func (a *app) eventList() *cobra.Command {
	var name string
	var t tailing
	var limit int
	c := &cobra.Command{Use: "ls", Short: "Print the events there are, one JSON object a line", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := t.filter.parse(); err != nil {
			return err
		}
		return a.feed(cmd, name, func(ctx context.Context, feed eventlog.Feed, subjects []string) error {
			from, err := t.from(ctx, feed)
			if err != nil {
				return err
			}
			records, err := t.filter.first(ctx, feed, subjects, from, limit+1)
			if err != nil {
				return err
			}
			if len(records) > limit {
				records = records[:limit]
				fmt.Fprintf(a.err, "more: --after %d\n", records[limit-1].Sequence)
			}
			return a.events(records, t.filter)
		})
	}}
	t.filter.flags(c)
	c.Flags().StringVar(&name, "link", "", "only this link's, by id or name")
	c.Flags().Int64Var(&t.after, "after", -1, "only those after this sequence; default: from --since or the beginning on")
	c.Flags().Var(fromOne(&limit, 100000), "limit", "print at most so many, the oldest")
	return c
}

// first reads the first events after a sequence that the filter takes. It goes
// subject by subject: see [eventlog.Feed.FollowSubjects].
func (f *eventFilter) first(ctx context.Context, feed eventlog.Feed, subjects []string, after uint64, limit int) ([]domain.Record, error) {
	parts := [][]string{nil}
	if len(subjects) > 0 {
		parts = slices.Collect(slices.Chunk(subjects, 1))
	}
	var all []domain.Record
	for _, part := range parts {
		found := 0
		err := there(ctx, feed, part, after, func(r domain.Record) error {
			if !f.takes(r) {
				return nil
			}
			if all, found = append(all, r), found+1; found == limit {
				return eventlog.ErrStop
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b domain.Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all[:min(limit, len(all))], nil
}

func (a *app) events(records []domain.Record, filter eventFilter) error {
	for _, r := range records {
		if !filter.takes(r) {
			continue
		}
		if err := a.encode(a.out, view(r)); err != nil {
			return err
		}
	}
	return nil
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
