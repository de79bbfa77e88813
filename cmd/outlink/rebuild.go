package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	"outlink/internal/eventlog"
	"outlink/internal/readmodel"
	"outlink/projections"
)

func (a *app) projectionRebuild() *cobra.Command {
	var names []string
	var until, label string
	var dry bool
	c := &cobra.Command{
		Use: "rebuild NAME…", Short: "Fill a new generation from the log and switch to it; what was interrupted goes on",
		Long: "Fills a new generation beside the one in use, catches up, verifies it and has readers use it; nobody waits meanwhile.\n" +
			"Several projections at once (rebuild links activity) read the log once.\n" +
			"With --until, builds the state of a past moment under a label instead: query it with --generation.",
		Args: projectionNames(&names),
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and how long reading takes")
	c.Flags().StringVar(&until, "until", "", "build a past state: up to a sequence, or a time such as 2026-11-24T12:00:00Z")
	c.Flags().StringVar(&label, "label", "", "name of the past state; default: --until itself")
	return a.keeping(c, func(ctx context.Context, k readmodel.Keeper) error {
		requests, err := rebuilds(ctx, k.Feed, names, until, label)
		if err != nil {
			return err
		}
		plan := k.Scope
		if dry {
			plan = k.Plan // reads for a while to make its estimate
		}
		plans := make([]readmodel.Plan, len(requests))
		for i, r := range requests {
			if plans[i], err = plan(ctx, r); err != nil {
				return err
			}
		}
		if dry {
			return a.printPlans(plans)
		}
		return a.rebuild(ctx, k, requests, plans)
	})
}

// rebuilds is what is asked for.
func rebuilds(ctx context.Context, feed eventlog.Feed, names []string, until, label string) ([]readmodel.Request, error) {
	var all []readmodel.Request
	for _, name := range names {
		p, err := readmodel.Projection(name)
		if err != nil {
			return nil, err
		}
		r := readmodel.Request{Projection: p}
		if until != "" {
			if r.Until, err = moment(ctx, feed, until); err != nil {
				return nil, err
			}
			r.Past = true
			if r.Label = label; label == "" {
				r.Label = until
			}
		}
		all = append(all, r)
	}
	return all, nil
}

func (a *app) printPlans(plans []readmodel.Plan) error {
	var rows [][]string
	for _, p := range plans {
		rows = append(rows, []string{
			p.Projection, fmt.Sprint(p.Target), fmt.Sprint(p.Events), fmt.Sprint(p.Aggregates), fmt.Sprint(p.Passes),
			fmt.Sprint(p.Resumes), p.Estimate.Round(time.Second).String(),
		})
	}
	return a.print(plans, []string{"projection", "target", "events", "aggregates", "passes", "resumes", "reading takes"}, rows)
}

func (a *app) rebuild(ctx context.Context, k readmodel.Keeper, requests []readmodel.Request, plans []readmodel.Plan) error {
	began := time.Now()
	report, done := a.watching(plans)
	built, err := k.Rebuild(ctx, requests, report)
	done(err)
	var rows [][]string
	for i, g := range built {
		if rebuilt(requests[i], g) {
			fmt.Fprintf(a.err, "generation %d of %s is ready after %s\n", g.Generation, g.Projection, time.Since(began).Round(10*time.Millisecond))
			rows = append(rows, []string{g.Projection, fmt.Sprint(g.Generation), g.Label})
		}
	}
	if err != nil && ctx.Err() != nil {
		fmt.Fprintf(a.err, "outlink: nothing is lost; to go on: %s\n", resumption(requests, built))
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return a.print(built, []string{"projection", "generation", "label"}, rows)
}

// rebuilt reports whether a generation is what was asked for.
func rebuilt(r readmodel.Request, g projections.Generation) bool {
	return g.State == projections.StateActive || r.Past && g.Loaded()
}

// resumption is the command line that goes on with what is not ready.
func resumption(requests []readmodel.Request, built []projections.Generation) string {
	line := "outlink projection rebuild"
	for i, r := range requests {
		if !rebuilt(r, built[i]) {
			line += " " + r.Projection.Name
		}
	}
	if r := requests[0]; r.Past { // by its sequence: a time might be another place by then
		line += fmt.Sprintf(" --until %d --label %q", r.Until, r.Label)
	}
	return line + "; with the same --database, --server and --namespace"
}

// watching shows how far rebuilds are: a bar each on a terminal, else a line now
// and then.
func (a *app) watching(plans []readmodel.Plan) (report func(i, pass int, at uint64), done func(error)) {
	if !isTerminal(a.err) {
		m := newMeters(plans)
		return func(i, pass int, at uint64) {
			if line := m.line(i, pass, at, time.Now()); line != "" {
				fmt.Fprintln(a.err, line)
			}
		}, func(error) {}
	}
	w := progress.NewWriter()
	w.SetOutputWriter(a.err)
	w.SetAutoStop(false)
	w.Style().Visibility.ETA, w.Style().Visibility.Speed = true, true
	var bars []*progress.Tracker
	for _, p := range plans {
		bars = append(bars, &progress.Tracker{Message: "rebuild " + p.Projection, Total: int64(p.Target) * int64(p.Passes)})
	}
	w.AppendTrackers(bars)
	go w.Render()
	return func(i, pass int, at uint64) { bars[i].SetValue(int64(pass)*int64(plans[i].Target) + int64(at)) }, func(err error) {
		if err == nil {
			for _, b := range bars {
				b.MarkAsDone()
			}
		}
		w.Stop()
	}
}

// moment is a place in the log: a sequence, or the last one by a time.
func moment(ctx context.Context, feed eventlog.Feed, s string) (uint64, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		head, err := feed.Head(ctx)
		if err == nil && n > head {
			err = usage(fmt.Sprintf("--until %d is beyond the head of the log; give a sequence up to %d, or leave it out", n, head))
		}
		return n, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, usage(fmt.Sprintf("%q is neither a sequence nor a time such as 2026-11-24T12:00:00Z", s))
	}
	return feed.At(ctx, t)
}

func projectionNames(names *[]string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(fmt.Sprintf("%s takes a projection, links or activity, or both; see: %s --help", cmd.CommandPath(), cmd.CommandPath()))
		}
		*names = slices.Compact(slices.Sorted(slices.Values(args)))
		return nil
	}
}
