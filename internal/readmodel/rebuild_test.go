package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/eventlog"
	"outlink/internal/node"
	"outlink/internal/readmodel"
	"outlink/internal/testenv"
	"outlink/internal/testenv/database"
	"outlink/projections"
	"outlink/projections/storetest"
)

// writing appends events of links and grants as fast as the server takes them,
// until the context ends or there are thirty thousand, and counts them. The first
// thousand is begun.
func writing(ctx context.Context, feed eventlog.Feed, begun chan<- struct{}) (n int, err error) {
	l, r := new(storetest.Log), rand.New(rand.NewPCG(1, 2))
	to, err := feed.Restorer(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		if n < 1000 {
			close(begun) // it failed, and says so
		}
	}()
	for ctx.Err() == nil && n < 30_000 {
		name := fmt.Sprintf("link%d", r.IntN(50))
		subject := fmt.Sprintf("s%d", r.IntN(20))
		switch r.IntN(10) {
		case 0:
			l.Link(name, link.Created{Config: link.Config{Name: name, Provider: "google"}})
		case 1:
			l.Link(name, link.Degraded{Reason: link.ClientRejected})
		case 2:
			l.Grant(name+"/"+subject, grant.ReauthorizationRequired{Reason: grant.GrantInvalid})
		case 3, 4, 5:
			l.Grant(name+"/"+subject, grant.RefreshStarted{})
		default:
			l.Grant(name+"/"+subject, grant.TokenIssued{Subject: subject, ExpiresAt: storetest.Noon.Add(time.Duration(r.IntN(7200)) * time.Second)})
		}
		if _, err := to.Append(context.WithoutCancel(ctx), l.Records[n]); err != nil {
			return n, err
		}
		if n++; n%200 == 0 {
			<-feed.JS.PublishAsyncComplete()
		}
		if n == 1000 {
			close(begun)
		}
	}
	<-feed.JS.PublishAsyncComplete()
	return n, nil
}

// Everything is rebuilt and switched to while the log grows at full speed and two
// nodes project it at once; then all generations are what the log says, and no
// reader has seen an empty list.
func TestRebuildUnderFullLoad(t *testing.T) {
	for name, url := range map[string]func() string{
		"SQLite":     func() string { return "sqlite:" + filepath.Join(t.TempDir(), "read.db") },
		"PostgreSQL": func() string { return database.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
			store, err := node.OpenStore(t.Context(), url())
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			if err := store.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			k := readmodel.Keeper{Feed: n.Feed, Store: store, Log: slog.New(slog.DiscardHandler)}
			ctx, cancel := context.WithCancel(t.Context())
			var projectors, writer, reader sync.WaitGroup
			for range 2 {
				projectors.Go(func() { _ = k.Follow(ctx) })
			}
			defer projectors.Wait()
			defer cancel()
			writes, stop := context.WithCancel(t.Context())
			written, begun := 0, make(chan struct{})
			writer.Go(func() {
				var err error
				if written, err = writing(writes, n.Feed, begun); err != nil {
					t.Error("write:", err)
				}
			})
			<-begun // a rebuild of next to nothing is over before more is written
			reading, done := context.WithCancel(t.Context())
			reader.Go(func() { alwaysSome(reading, t, store) })
			if _, err := k.Rebuild(t.Context(), everything(), nil); err != nil {
				t.Error("rebuild:", err)
			}
			stop()
			writer.Wait()
			done()
			reader.Wait()
			verifyAll(t, k, written)
		})
	}
}

// everything asks for all projections.
func everything() []readmodel.Request {
	var all []readmodel.Request
	for _, p := range projections.All() {
		all = append(all, readmodel.Request{Projection: p})
	}
	return all
}

// alwaysSome reads the list: once it has links, it never is without.
func alwaysSome(ctx context.Context, t *testing.T, store node.Store) {
	most := 0
	for ctx.Err() == nil {
		rows, _, err := store.Links(ctx, projections.LinkFilter{})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error("read:", err)
		}
		if err == nil && len(rows) < most/2 {
			t.Errorf("the list went from %d links to %d", most, len(rows))
		}
		most = max(most, len(rows))
	}
}

// verifyAll waits until every generation has seen the whole log, and verifies it.
func verifyAll(t *testing.T, k readmodel.Keeper, written int) {
	t.Helper()
	last, err := k.Feed.Last(t.Context())
	if err != nil || written < 1200 {
		t.Fatal(written, err)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		all, err := k.Store.Generations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		behind := 0
		for _, g := range all {
			if g.Sequence < last {
				behind++
			}
		}
		if behind == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events; the generations stay at %+v", written, all)
		}
		time.Sleep(20 * time.Millisecond) // projectors work
	}
	all, _ := k.Store.Generations(t.Context())
	if len(all) != 4 {
		t.Errorf("%d generations", len(all))
	}
	for _, g := range all {
		p, err := readmodel.Projection(g.Projection)
		if err != nil {
			t.Fatal(err)
		}
		differs, _, err := k.Verify(t.Context(), p, g.Generation, func(d projections.Difference) { t.Logf("%s\n%s", d.Stored, d.Replayed) })
		if err != nil || differs > 0 {
			t.Errorf("generation %d of %s: %d rows differ, error %v", g.Generation, g.Projection, differs, err)
		}
	}
	t.Logf("%d events were written meanwhile", written)
}
