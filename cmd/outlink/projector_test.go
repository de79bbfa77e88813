package main

import (
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"outlink/internal/node"
	"outlink/internal/readmodel"
	"outlink/internal/testenv"
	"outlink/internal/testenv/database"
	"outlink/internal/testenv/model"
)

// A projector is killed at random moments while grants renew themselves: each
// time, its rows are those that the log says up to its checkpoint.
func TestProjectorKills(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		projectorKills(t, "sqlite:"+filepath.Join(t.TempDir(), "outlink.db"))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		projectorKills(t, database.New(t))
	})
}

func projectorKills(t *testing.T, database string) {
	kills := 10
	if *torture > 0 {
		kills = 100
	}
	r := (&rig{T: t, dir: t.TempDir(), op: model.New(model.Options{Kind: model.Stable, Lifetime: 2 * time.Second}), database: database}).begin(40)
	r.stopDoor()
	r.start(r.outlink("serve", append(r.flags("door"), "--roles", "api,commands,timers")...))
	store, err := node.OpenStore(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	k := readmodel.Keeper{Feed: r.inspect().Feed, Store: store, Log: slog.New(slog.DiscardHandler)}
	var last uint64
	for range kills {
		c := r.outlink("serve", append(r.flags("projector"), "--roles", "projections")...)
		_, ended := r.start(c)
		last = testenv.Advanced(t, store, last)
		time.Sleep(rand.N(300 * time.Millisecond)) // the moment is the test's input
		_ = c.Process.Kill()
		<-ended
		testenv.Verified(t, k)
	}
	t.Logf("%d kills, each verified; the last one after sequence %d", kills, last)
}
