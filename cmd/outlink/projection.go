package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/node"
	"outlink/internal/queries"
	"outlink/internal/readmodel"
	"outlink/projections"
)

func (a *app) projectionCommands() *cobra.Command {
	c := &cobra.Command{Use: "projection", Short: "The read model"}
	c.AddCommand(a.projectionStatus(), a.projectionList(), a.projectionRebuild(), a.projectionVerify(), a.projectionSwitch(), a.projectionDrop())
	a.guarded(c)
	return c
}

func (a *app) projectionStatus() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "How far the projections are", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list queries.ProjectionList
		if err := a.with(cmd, func(ctx context.Context, c client.Client) error { return c.Query(ctx, "ProjectionStatus", nil, &list) }); err != nil {
			return err
		}
		var rows [][]string
		var stopped []string
		for _, p := range list.Projections {
			rows = append(rows, []string{p.Projection, fmt.Sprint(p.Generation), fmt.Sprint(p.Sequence), fmt.Sprint(p.Head), fmt.Sprint(p.Lag), p.Problem})
			if p.Problem != "" {
				stopped = append(stopped, p.Projection)
			}
		}
		if err := a.print(list.Projections, []string{"projection", "generation", "position", "head", "lag", "problem"}, rows); err != nil || len(stopped) == 0 {
			return err
		}
		return domain.Errorf(domain.FailedPrecondition, "stopped: %s", strings.Join(stopped, ", "))
	}}
}

// keeping opens the log and the read model itself: looking after it needs no
// running node.
func (a *app) keeping(c *cobra.Command, f func(ctx context.Context, k readmodel.Keeper) error) *cobra.Command {
	var database string
	c.Flags().StringVar(&database, "database", "sqlite:outlink.db", "the read model: postgres://… (CockroachDB, PostgreSQL) or sqlite:PATH")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if path, ok := strings.CutPrefix(database, "sqlite:"); ok { // which would be made, and empty
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				return usage(fmt.Sprintf("there is no read model at %s; say where it is: --database or OUTLINK_DATABASE", database))
			}
		}
		store, err := node.OpenStore(cmd.Context(), database)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		nc, err := a.connect()
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		guard, err := a.guard(cmd.Context(), js)
		if err != nil {
			return err
		}
		return f(cmd.Context(), readmodel.Keeper{Feed: eventlog.Feed{JS: js, Namespace: bus.Namespace(a.namespace), Guard: guard}, Store: store, Log: a.quiet()})
	}
	return c
}

func (a *app) projectionList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List all generations", Args: cobra.NoArgs}
	return a.keeping(c, func(ctx context.Context, k readmodel.Keeper) error {
		all, err := k.Store.Generations(ctx)
		if err != nil {
			return err
		}
		var rows [][]string
		for i, g := range all {
			all[i].State = g.Status()
			loaded := ""
			if !g.Loaded() {
				loaded = fmt.Sprintf("%d of %d", g.Passed, g.Passes)
			}
			rows = append(rows, []string{g.Projection, fmt.Sprint(g.Generation), g.Status(), g.Label, fmt.Sprint(g.Sequence), loaded, g.Problem})
		}
		return a.print(all, []string{"projection", "generation", "state", "label", "position", "passes", "problem"}, rows)
	})
}

// verified is what a verification prints.
type verified struct {
	Projection string                   `json:"projection"`
	Generation int                      `json:"generation"`
	Rows       int                      `json:"rows"`
	Differs    int                      `json:"differs"`
	Shards     []projections.Shard      `json:"shards"`
	First      []projections.Difference `json:"first,omitempty"` // differences
}

// shownDifferences is how many differences are printed.
const shownDifferences = 10

func (a *app) projectionVerify() *cobra.Command {
	var generation int
	c := &cobra.Command{Use: "verify", Short: "Compare the rows with the log; exit 1 when they differ", Args: cobra.NoArgs}
	c.Flags().IntVar(&generation, "generation", 0, "of both projections; 0: the active ones")
	return a.keeping(c, func(ctx context.Context, k readmodel.Keeper) error {
		all, err := k.Store.Generations(ctx)
		if err != nil {
			return err
		}
		var results []verified
		var rows [][]string
		differs := 0
		for _, g := range all {
			p, err := readmodel.Projection(g.Projection)
			if err != nil || generation == 0 && g.State != projections.StateActive || generation != 0 && g.Generation != generation {
				continue
			}
			v := verified{Projection: g.Projection, Generation: g.Generation}
			v.Differs, v.Shards, err = k.Verify(ctx, p, g.Generation, func(d projections.Difference) {
				if len(v.First) < shownDifferences {
					v.First = append(v.First, d)
				}
			})
			if err != nil {
				return err
			}
			for _, s := range v.Shards {
				v.Rows += s.Rows
				rows = append(rows, []string{g.Projection, fmt.Sprint(g.Generation), fmt.Sprint(s.Shard), fmt.Sprint(s.Rows), s.Checksum, fmt.Sprint(s.Differs)})
			}
			differs += v.Differs
			results = append(results, v)
		}
		switch {
		case len(results) > 0:
		case generation == 0:
			return domain.Errorf(domain.Unavailable, "no projection has an active generation; run: outlink migrate")
		default:
			return domain.Errorf(domain.NotFound, "there is no generation %d; see: outlink projection ls", generation)
		}
		if err := a.print(results, []string{"projection", "generation", "shard", "rows", "checksum", "differs"}, rows); err != nil || differs == 0 {
			return err
		}
		if a.output == "table" {
			for _, v := range results {
				for _, d := range v.First {
					fmt.Fprintf(a.err, "%s %s\n  stored    %s\n  replayed  %s\n", d.Projection, d.ID, d.Stored, d.Replayed)
				}
			}
		}
		return fmt.Errorf("%d rows differ from the log: %w", differs, errDiffers)
	})
}

func (a *app) projectionSwitch() *cobra.Command {
	var name string
	var generation int
	c := &cobra.Command{Use: "switch NAME GENERATION", Short: "Have readers use another generation", Args: nameAndGeneration(&name, &generation)}
	return a.keeping(c, func(ctx context.Context, k readmodel.Keeper) error {
		if err := k.Store.Switch(ctx, name, generation); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "readers use generation %d of %s from now on; the other one is kept up to date until it is dropped\n", generation, name)
		return nil
	})
}

func (a *app) projectionDrop() *cobra.Command {
	var name string
	var generation int
	var yes bool
	c := &cobra.Command{Use: "drop NAME GENERATION", Short: "Remove a generation that is not active", Args: nameAndGeneration(&name, &generation)}
	c.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	return a.keeping(c, func(ctx context.Context, k readmodel.Keeper) error {
		if !yes {
			return domain.Errorf(domain.FailedPrecondition, "dropping generation %d of %s cannot be undone; repeat it with --yes", generation, name)
		}
		if err := k.Store.Drop(ctx, name, generation); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "generation %d of %s is gone\n", generation, name)
		return nil
	})
}

func nameAndGeneration(name *string, generation *int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		var err error
		if len(args) == 2 {
			*name = args[0]
			*generation, err = strconv.Atoi(args[1])
		}
		if len(args) != 2 || err != nil {
			return usage(fmt.Sprintf("%s takes a projection and the number of a generation; see: outlink projection ls", cmd.CommandPath()))
		}
		return nil
	}
}
