package readmodel_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/node"
	"outlink/internal/readmodel"
	"outlink/internal/testenv"
	"outlink/projections"
)

// A past state ends where it was asked to, also before the first event, which is
// nothing and not the present.
func TestRebuildThePast(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		m := commands.Meta{CommandID: uuid.New(), Actor: "tester", Time: noon.Add(time.Duration(i) * time.Hour)}
		if _, err := n.Commands.Links.Append(t.Context(), domain.Key{Link: uuid.New()}, commands.Loaded[link.State]{}, link.Created{}, m); err != nil {
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
	for label, tt := range map[string]struct {
		at   time.Time
		want int
	}{"before": {noon.Add(-time.Hour), 0}, "between": {noon.Add(time.Hour), 2}, "after": {noon.Add(9 * time.Hour), 3}} {
		until, err := k.Feed.At(t.Context(), tt.at)
		if err != nil {
			t.Fatal(err)
		}
		built, err := k.Rebuild(t.Context(), []readmodel.Request{{Projection: projections.Links, Past: true, Until: until, Label: label}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		then, err := store.At(t.Context(), built[0].Projection, built[0].Generation)
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := then.Links(t.Context(), projections.LinkFilter{})
		if err != nil || len(rows) != tt.want {
			t.Errorf("%s: %d links, %v; want %d", label, len(rows), err, tt.want)
		}
	}
}
