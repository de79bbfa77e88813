package readmodel_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/node"
	"outlink/internal/readmodel"
	"outlink/internal/testenv"
	"outlink/internal/testenv/database"
)

var kills = flag.Int("kills", 5, "how often a projector is killed in the middle of large batches, on each store")

// TestMain is also the projector that a test kills, of the NATS and the database in
// its environment.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("PROJECTOR_NATS") == "" {
		os.Exit(m.Run())
	}
	if err := project(context.Background(), os.Getenv("PROJECTOR_NATS"), os.Getenv("PROJECTOR_DATABASE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func project(ctx context.Context, server, database string) error {
	store, err := node.OpenStore(ctx, database)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(server)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	feed := eventlog.Feed{JS: js, Namespace: bus.DefaultNamespace}
	return readmodel.Keeper{Feed: feed, Store: store, Log: slog.New(slog.DiscardHandler)}.Follow(ctx)
}

// A projector that goes through a long log at full speed is killed at random moments:
// each time, its rows are those that the log says up to its checkpoint.
func TestKilledAtFullSpeed(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	written, err := writing(t.Context(), n.Feed, make(chan struct{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "read.db") },
		"PostgreSQL": func(t *testing.T) string { return database.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			var within int
			for done := 0; done < *kills; {
				again, inside := killed(t, n.Feed, server.URL(), url(t), *kills-done)
				done, within = done+again, within+inside
			}
			t.Logf("%d kills over %d events, %d of them before the end", *kills, written, within)
			if within == 0 {
				t.Error("no projector was killed at work")
			}
		})
	}
}

// killed kills projectors of an empty read model until they get to the end of the
// log, or so many are; and says how many of these were at work.
func killed(t *testing.T, feed eventlog.Feed, server, url string, most int) (n, within int) {
	t.Helper()
	store, err := node.OpenStore(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := readmodel.Keeper{Feed: feed, Store: store, Log: slog.New(slog.DiscardHandler)}
	last, err := feed.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for at := uint64(0); n < most && at < last; n++ {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "PROJECTOR_NATS="+server, "PROJECTOR_DATABASE="+url)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.Advanced(t, store, at)
		time.Sleep(rand.N(100 * time.Millisecond)) // the moment is the test's input
		_ = child.Process.Kill()
		_ = child.Wait()
		testenv.Verified(t, k)
		if at = testenv.Advanced(t, store, 0); at < last {
			within++
		}
	}
	return n, within
}
