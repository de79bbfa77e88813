package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/dead"
)

func (a *app) deadCommands() *cobra.Command {
	c := &cobra.Command{Use: "dead", Short: "What the command intake or a worker gave up on, kept for 30 days"}
	c.AddCommand(a.deadList(), a.deadShow(), a.deadRetry(), a.deadDrop())
	return c
}

// deadFilter chooses from what was set aside.
type deadFilter struct {
	dead.Filter
	since string
}

func (f *deadFilter) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.Kind, "kind", "", "only these: command, notice, event or expiry")
	c.Flags().StringVar(&f.Subject, "subject", "", "only what came on a subject with this in it, such as DisableLink")
	c.Flags().StringVar(&f.since, "since", "", "only what was set aside from this time on, such as 2026-11-24T12:00:00Z, or so long ago, such as 24h")
}

func (f *deadFilter) parse(now time.Time) (err error) {
	if f.since == "" {
		return nil
	}
	if ago, err := time.ParseDuration(f.since); err == nil && ago >= 0 {
		f.Since = now.Add(-ago)
		return nil
	}
	if f.Since, err = time.Parse(time.RFC3339, f.since); err != nil {
		return usage(fmt.Sprintf("--since %q: give a time such as 2026-11-24T12:00:00Z, or how long ago, such as 24h", f.since))
	}
	return nil
}

func (a *app) deadList() *cobra.Command {
	var f deadFilter
	c := &cobra.Command{Use: "ls", Short: "List what was set aside, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := f.parse(time.Now()); err != nil {
			return err
		}
		var entries []dead.Entry
		err := a.with(cmd, func(ctx context.Context, c client.Client) error {
			return c.Operate(ctx, "ListDead", f.Filter, &entries)
		})
		if err != nil {
			return err
		}
		if len(entries) == f.Limit {
			fmt.Fprintf(a.err, "more, if there is any: --before %d\n", entries[len(entries)-1].Sequence)
		}
		var rows [][]string
		for _, e := range entries {
			rows = append(rows, []string{fmt.Sprint(e.Sequence), when(&e.At), e.Kind, e.Subject, string(e.Code), e.Reason})
		}
		return a.print(entries, []string{"sequence", "at", "kind", "subject", "code", "reason"}, rows)
	}}
	f.flags(c)
	c.Flags().Var(fromOne(&f.Limit, 50), "limit", "list at most so many, up to 500")
	c.Flags().Uint64Var(&f.Before, "before", 0, "only those before this sequence: the next page")
	return c
}

func (a *app) deadShow() *cobra.Command {
	return &cobra.Command{Use: "show SEQUENCE", Short: "Show one of them, without its secrets", Args: one("a sequence of outlink dead ls"), RunE: func(cmd *cobra.Command, args []string) error {
		sequences, err := sequences(args)
		if err != nil {
			return err
		}
		var s dead.Shown
		err = a.with(cmd, func(ctx context.Context, c client.Client) error {
			return c.Operate(ctx, "ShowDead", dead.One{Sequence: sequences[0]}, &s)
		})
		if err != nil {
			return err
		}
		return a.fields(s, [2]string{"sequence", fmt.Sprint(s.Sequence)}, [2]string{"at", when(&s.At)}, [2]string{"kind", s.Kind},
			[2]string{"subject", s.Subject}, [2]string{"consumer", s.Consumer}, [2]string{"sequence there", unlessZero(s.Source)},
			[2]string{"command", unlessZero(s.Command)}, [2]string{"code", string(s.Code)}, [2]string{"reason", s.Reason},
			[2]string{"traceparent", s.Traceparent}, [2]string{"body", string(s.Body)}, [2]string{"not shown", s.Hidden})
	}}
}

// unlessZero is a value in words, or nothing for the zero one.
func unlessZero[T comparable](v T) string {
	var zero T
	if v == zero {
		return ""
	}
	return fmt.Sprint(v)
}

func sequences(args []string) ([]uint64, error) {
	var all []uint64
	for _, arg := range args {
		n, err := strconv.ParseUint(arg, 10, 64)
		if err != nil || n == 0 {
			return nil, usage(fmt.Sprintf("%q is no sequence; list them: outlink dead ls", arg))
		}
		all = append(all, n)
	}
	return all, nil
}

func (a *app) deadRetry() *cobra.Command {
	var f deadFilter
	var all, dry bool
	c := &cobra.Command{
		Use: "retry SEQUENCE... | --all", Short: "Have it done again, and remove it",
		Long: "A command is submitted again under its own id, so that it has one effect however often that is done; that it was\n" +
			"refused is forgotten. A notice is sent again, an expiry fires again, and an event is worked on by the worker that\n" +
			"could not. What fails stays where it is.",
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := sequences(args)
			if err == nil {
				err = f.parse(time.Now())
			}
			if err != nil {
				return err
			}
			if (len(chosen) > 0) == all {
				return usage("give sequences of outlink dead ls, or --all")
			}
			return a.connected(cmd, func(ctx context.Context, c client.Client) error {
				entries, err := setAside(ctx, c, chosen, f.Filter)
				if err != nil {
					return err
				}
				return a.deadDone(entries, dry, "retry", func(e dead.Entry) (d dead.Done, err error) {
					return d, c.Operate(ctx, "RetryDead."+e.Kind, dead.One{Sequence: e.Sequence, Actor: a.actor, DryRun: dry}, &d)
				})
			})
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&all, "all", false, "all that --kind, --subject and --since choose, oldest first")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done")
	return c
}

func (a *app) deadDrop() *cobra.Command {
	var yes, dry bool
	var reason string
	c := &cobra.Command{Use: "drop SEQUENCE...", Short: "Remove it for good", RunE: func(cmd *cobra.Command, args []string) error {
		chosen, err := sequences(args)
		if err != nil {
			return err
		}
		if len(chosen) == 0 {
			return usage(cmd.CommandPath() + " takes sequences of outlink dead ls")
		}
		if !yes && !dry {
			return domain.Errorf(domain.FailedPrecondition, "%s cannot be undone; repeat it with --yes", cmd.CommandPath())
		}
		return a.connected(cmd, func(ctx context.Context, c client.Client) error {
			var entries []dead.Entry
			for _, s := range chosen {
				entries = append(entries, dead.Entry{Sequence: s})
			}
			return a.deadDone(entries, dry, "drop", func(e dead.Entry) (d dead.Done, err error) {
				return d, c.Operate(ctx, "DropDead", dead.One{Sequence: e.Sequence, Actor: a.actor, Reason: reason, DryRun: dry}, &d)
			})
		})
	}}
	c.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	c.Flags().StringVar(&reason, "reason", "", "why, for the node's log")
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done")
	return c
}

// setAside finds the entries of some sequences, or all that a filter chooses,
// oldest first: what was submitted first is submitted first again.
func setAside(ctx context.Context, c client.Client, chosen []uint64, f dead.Filter) ([]dead.Entry, error) {
	var all []dead.Entry
	for _, s := range chosen {
		var shown dead.Shown
		if err := c.Operate(ctx, "ShowDead", dead.One{Sequence: s}, &shown); err != nil {
			return nil, err
		}
		all = append(all, shown.Entry)
	}
	for f.Limit = 500; len(chosen) == 0; {
		var page []dead.Entry
		if err := c.Operate(ctx, "ListDead", f, &page); err != nil {
			return nil, err
		}
		if all = append(all, page...); len(page) < f.Limit {
			break
		}
		f.Before = page[len(page)-1].Sequence
	}
	slices.SortFunc(all, func(a, b dead.Entry) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all, nil
}

// deadDone does something with each, says what became of it, and reports the
// first failure when it has been through all.
func (a *app) deadDone(entries []dead.Entry, dry bool, verb string, do func(dead.Entry) (dead.Done, error)) error {
	var failed error
	done, rows := []dead.Done{}, [][]string{}
	for _, e := range entries {
		d, err := do(e)
		if err != nil {
			fmt.Fprintf(a.err, "outlink: %d stays: %v\n", e.Sequence, err)
			if failed == nil {
				failed = err
			}
			continue
		}
		done, rows = append(done, d), append(rows, []string{fmt.Sprint(d.Sequence), d.Kind, d.To})
	}
	would := ""
	if dry {
		would = " would be done; nothing was changed"
	}
	fmt.Fprintf(a.err, "%s: %d of %d%s\n", verb, len(done), len(entries), would)
	if failed != nil && len(done) == 0 {
		return failed
	}
	if err := a.print(done, []string{"sequence", "kind", "to"}, rows); err != nil {
		return err
	}
	return failed
}
