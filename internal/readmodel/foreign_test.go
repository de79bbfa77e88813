package readmodel_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/node"
	"outlink/internal/readmodel"
	"outlink/internal/testenv"
	"outlink/projections"
)

// Every projection is rebuilt, catches up and verifies among foreign messages, of
// which one is the last of the log.
func TestRebuildAmongForeignMessages(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for range 3 {
		key := domain.Key{Link: uuid.New()}
		_, err := n.Commands.Links.Append(t.Context(), key, commands.Loaded[link.State]{}, link.Created{}, commands.Meta{CommandID: uuid.New(), Time: time.Now()})
		if err == nil {
			_, err = nc.Request(n.Namespace.LinkEvents(key.Link), []byte("junk"), 5*time.Second)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := node.OpenStore(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "read.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := readmodel.Keeper{Feed: n.Feed, Store: store, Log: slog.New(slog.DiscardHandler)}
	built, err := k.Rebuild(t.Context(), everything(), nil)
	if err != nil {
		t.Fatal("rebuild:", err)
	}
	for i, p := range projections.All() {
		g := built[i]
		if g.State != projections.StateActive || g.Sequence != 6 {
			t.Errorf("%s was rebuilt; it is said to be %s at %d", p.Name, g.State, g.Sequence)
		}
		differs, shards, err := k.Verify(t.Context(), p, g.Generation, func(d projections.Difference) { t.Errorf("%+v", d) })
		rows := 0
		for _, s := range shards {
			rows += s.Rows
		}
		if at, posErr := store.Position(t.Context(), p.Name, g.Generation); err != nil || posErr != nil || differs > 0 || rows != 3 || at.Sequence != 6 {
			t.Errorf("%s: %d rows, want 3, %d differ, at %d, want 6; %v, %v", p.Name, rows, differs, at.Sequence, err, posErr)
		}
	}
}
