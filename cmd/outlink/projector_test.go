package main

import (
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"outlink/internal/node"
	"outlink/internal/readmodel"
	"outlink/internal/testenv/database"
	"outlink/internal/testenv/model"
	"outlink/projections"
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
	for i := range kills {
		c := r.outlink("serve", append(r.flags("projector"), "--roles", "projections")...)
		_, ended := r.start(c)
		last = r.advanced(store, last)
		time.Sleep(rand.N(300 * time.Millisecond)) // the moment is the test's input
		_ = c.Process.Kill()
		<-ended
		for _, p := range projections.All() {
			differs, _, err := k.Verify(t.Context(), p, projections.FirstGeneration, func(d projections.Difference) { t.Errorf("%s", d.Stored) })
			if err != nil || differs > 0 {
				t.Fatalf("kill %d: %d rows of %s differ, error %v", i+1, differs, p.Name, err)
			}
		}
	}
	t.Logf("%d kills, each verified; the last one after sequence %d", kills, last)
}

// advanced waits until the projections have come past a sequence.
func (r *rig) advanced(store node.Store, past uint64) uint64 {
	r.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		positions, err := store.Positions(r.Context())
		if err != nil {
			r.Fatal(err)
		}
		if lowest := min(positions[0].Sequence, positions[1].Sequence); lowest > past {
			return lowest
		}
		if time.Now().After(deadline) {
			r.Fatalf("the projections stay at %+v", positions)
		}
		time.Sleep(5 * time.Millisecond) // another process projects
	}
}
