package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/eventlog"
	"outlink/internal/history"
	"outlink/internal/queries"
	"outlink/projections"
)

// past reads a version, a time, or nothing.
func past(version uint64, at string) (history.Moment, error) {
	m := history.Moment{Version: version}
	if at == "" {
		return m, nil
	}
	var err error
	if m.Time, err = time.Parse(time.RFC3339, at); err != nil {
		return m, usage(fmt.Sprintf("%q is no time such as 2026-11-24T12:00:00Z", at))
	}
	return m, nil
}

// versionOrTime reads either.
func versionOrTime(s string) (history.Moment, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err != nil:
		return past(0, s)
	case n == 0:
		return history.Moment{}, usage("there is no version 0; give a number from 1 on, or a time")
	}
	return history.Moment{Version: n}, nil
}

// linksPast lists the links as they were, as far as the query's filters go that
// the log can tell of.
func (a *app) linksPast(cmd *cobra.Command, q queries.ListLinks, at history.Moment) (list queries.LinkList, err error) {
	if q.After != "" || q.Health != "" || q.ExpiringWithin != "" || q.Generation != 0 {
		return list, usage("--at goes with --provider, --status, --text and --limit; for more of a past state, see: outlink projection rebuild --help")
	}
	err = a.feed(cmd, "", func(ctx context.Context, feed eventlog.Feed, _ []string) error {
		rows, err := history.LinksAt(ctx, feed, at)
		rows = slices.DeleteFunc(rows, func(r projections.LinkRow) bool { return !takes(q, r) })
		if limit := min(q.Limit, 500); len(rows) > limit {
			fmt.Fprintf(a.err, "%d of %d links; give --limit (at most 500), --provider, --status or --text\n", limit, len(rows))
			rows = rows[:limit]
		}
		for _, r := range rows {
			list.Links = append(list.Links, queries.ViewLink(r))
		}
		return err
	})
	return list, err
}

func takes(q queries.ListLinks, r projections.LinkRow) bool {
	status := r.State.Status()
	return (q.Provider == "" || r.State.Provider == q.Provider) &&
		(status == q.Status || q.Status == "" && status != link.StatusDeleted) &&
		strings.HasPrefix(strings.ToLower(r.State.Name), strings.ToLower(q.Text))
}

// linkOf is the link that feed chose, of which the first subject is.
func linkOf(subjects []string) uuid.UUID {
	return uuid.MustParse(subjects[0][strings.LastIndexByte(subjects[0], '.')+1:])
}

func (a *app) linkDiff() *cobra.Command {
	var from, to string
	c := &cobra.Command{Use: "diff LINK", Short: "Show what changed in a link between two versions or times", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		before, errFrom := versionOrTime(from)
		after, errTo := versionOrTime(to)
		if err := errors.Join(errFrom, errTo); err != nil {
			return err
		}
		var changes []history.Change
		err := a.with(cmd, func(ctx context.Context, c client.Client) error {
			old, err := find(ctx, c, args[0], before)
			if err != nil {
				return err
			}
			now, err := find(ctx, c, args[0], after)
			if err != nil {
				return err
			}
			changes, err = history.Diff(old, now)
			return err
		})
		if err != nil {
			return err
		}
		var rows [][]string
		for _, ch := range changes {
			rows = append(rows, []string{ch.Member, string(ch.From), string(ch.To)})
		}
		return a.print(changes, []string{"member", "from", "to"}, rows)
	}}
	c.Flags().StringVar(&from, "from", "1", "version, or time such as 2026-11-24T12:00:00Z")
	c.Flags().StringVar(&to, "to", "", "the same; default: now")
	return c
}

func (a *app) eventStep() *cobra.Command {
	var grantID string
	c := &cobra.Command{
		Use: "step LINK", Short: "Print each event of a link, or of one of its grants, with the state after it", Args: one("a link's id or name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.feed(cmd, args[0], func(ctx context.Context, feed eventlog.Feed, subjects []string) error {
				key := domain.Key{Link: linkOf(subjects)}
				var steps []history.Step
				var err error
				if grantID == "" {
					steps, err = history.LinkSteps(ctx, feed, key.Link, history.Moment{})
				} else if key.Grant, err = uuid.Parse(grantID); err == nil {
					steps, err = history.GrantSteps(ctx, feed, key, history.Moment{})
				} else {
					err = usage("--grant takes a grant's id; list them: outlink grant ls LINK")
				}
				switch {
				case err != nil || len(steps) > 0:
				case grantID == "":
					err = domain.Errorf(domain.NotFound, "link %s does not exist; list them: outlink link ls", key.Link)
				default:
					err = domain.Errorf(domain.NotFound, "link %s has no grant %s; list them: outlink grant ls %s", key.Link, key.Grant, args[0])
				}
				for _, s := range steps {
					if err := a.encode(a.out, s); err != nil {
						return err
					}
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&grantID, "grant", "", "this grant's events instead of the link's own")
	return c
}

func (a *app) eventVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check that the log is whole: gaps, decoding, schemas, the states beside events, the chain of hashes, and with --kek-file the MACs; exit 1 when it is not", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var report history.Report
			err := a.feed(cmd, "", func(ctx context.Context, feed eventlog.Feed, _ []string) (err error) {
				feed.Junk = nil // it is what verify looks for
				report, err = history.Verify(ctx, feed, nil)
				return err
			})
			if err != nil {
				return err
			}
			var rows [][]string
			for _, p := range report.Problems {
				rows = append(rows, []string{fmt.Sprint(p.Sequence), p.Type, p.Problem})
			}
			fmt.Fprintf(a.err, "%d events of %d links, grants and names up to sequence %d\n", report.Events, report.Aggregates, report.Head)
			if a.kek == "" {
				fmt.Fprintln(a.err, "their MACs were not checked: that takes --kek-file, and a user of NATS who may read the keys")
			}
			if a.output != "table" || len(rows) > 0 {
				if err := a.print(report, []string{"sequence", "type", "problem"}, rows); err != nil {
					return err
				}
			}
			if len(rows) > 0 {
				return fmt.Errorf("%d problems in the log: %w", len(rows), errDiffers)
			}
			return nil
		},
	}
}

func (a *app) eventExport() *cobra.Command {
	var name, file string
	c := &cobra.Command{
		Use: "export", Short: "Write the log as JSON Lines of CloudEvents (structured mode)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.feed(cmd, name, func(ctx context.Context, feed eventlog.Feed, subjects []string) error {
				w, done, err := a.exportFile(file)
				if err != nil {
					return err
				}
				n, err := history.Export(ctx, feed, subjects, w)
				if err := done(err); err != nil {
					return err
				}
				fmt.Fprintf(a.err, "%d events\n", n)
				return nil
			})
		},
	}
	c.Flags().StringVar(&name, "link", "", "only this link's and its grants', by id or name; an import takes whole logs")
	c.Flags().StringVar(&file, "file", "-", "where to; a name that ends in .zst is compressed; -: standard output")
	return c
}

// exportFile opens what an export writes to; nothing but the owner reads it. Done
// is told how it went.
func (a *app) exportFile(name string) (w io.Writer, done func(error) error, err error) {
	if name == "-" {
		return a.out, func(err error) error { return err }, nil
	}
	f, placed, err := placedFile(name)
	if err != nil {
		return nil, nil, usage(fmt.Sprintf("--file: %v", err))
	}
	if !strings.HasSuffix(name, ".zst") {
		return f, placed, nil
	}
	z, err := zstd.NewWriter(f)
	if err != nil {
		return nil, nil, placed(err)
	}
	return z, func(err error) error { return placed(errors.Join(err, z.Close())) }, nil
}

// placedFile is a file that gets its name when placed hears of no error: half an
// export looks like a whole one. A pipe, device or symbolic link stays what it is.
func placedFile(name string) (f *os.File, placed func(error) error, err error) {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		return f, func(err error) error { return errors.Join(err, f.Close()) }, err
	}
	f, err = os.CreateTemp(filepath.Dir(name), ".new-*")
	return f, func(err error) error {
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return errors.Join(err, os.Remove(f.Name()))
		}
		return os.Rename(f.Name(), name)
	}, err
}

func (a *app) eventImport() *cobra.Command {
	c := &cobra.Command{
		Use: "import FILE", Short: "Append an export to the empty log of another namespace, with its ids, times and hashes",
		Long: "Appends an export to the empty log of another namespace or installation. All of the file is checked first, as by\n" +
			"events verify. What was interrupted goes on when it is run again. The events get MACs of that namespace, which takes\n" +
			"--kek-file: import only what you trust, for the hashes in a file are made without a key.\n" +
			"Secrets are not part of an export: move the buckets KEYS and VAULT before, or authorize the links anew.",
		Args: one("a file of outlink events export"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return usage(err.Error())
			}
			if a.kek == "" {
				return usage("give --kek-file or OUTLINK_KEK_FILE: nodes ignore events that are imported without a MAC")
			}
			return a.feed(cmd, "", func(ctx context.Context, feed eventlog.Feed, _ []string) error {
				n, err := history.Import(ctx, feed, func() (io.ReadCloser, error) { return importFile(args[0]) })
				fmt.Fprintf(a.err, "%d events imported\n", n)
				return err
			})
		},
	}
	return c
}

// importFile opens what an export wrote.
func importFile(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".zst") {
		return f, err
	}
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return unpacked{z.IOReadCloser(), f}, nil
}

// unpacked closes the file under what it reads.
type unpacked struct {
	io.ReadCloser
	file *os.File
}

func (u unpacked) Close() error { return errors.Join(u.ReadCloser.Close(), u.file.Close()) }
