package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/projections"
	"outlink/projections/sqlite"
	"outlink/workers/sweep"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// overdue is a grant that was due so long before noon.
func overdue(link uuid.UUID, subject string, ago time.Duration) projections.GrantRow {
	at := noon.Add(-ago)
	return projections.GrantRow{Link: link, Grant: grant.ID(link, subject), Sequence: 1, State: grant.State{
		Subject: subject, Version: 1, Credential: &grant.TokenIssued{Refreshable: true, ReceivedAt: at.Add(-time.Hour), ExpiresAt: at.Add(time.Hour), RefreshAt: at},
	}}
}

// stored is a read model with these grants.
func stored(t *testing.T, rows []projections.GrantRow) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "read.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), projections.Batch{Projection: "links", Generation: projections.FirstGeneration, To: 1, Grants: rows}); err != nil {
		t.Fatal(err)
	}
	return s
}

// What a disabled link holds stays overdue, and does not hide a lost timer,
// however many there are.
func TestStuckGrantsHideNothing(t *testing.T) {
	disabled, active := uuid.New(), uuid.New()
	lost := overdue(active, "lost", time.Minute)
	rows := []projections.GrantRow{lost, overdue(active, "not lost yet", 5*time.Second)}
	for i := range 2500 {
		rows = append(rows, overdue(disabled, fmt.Sprint(i), time.Hour+time.Duration(i)*time.Second))
	}
	var woken []domain.Key
	asked := 0
	w := &sweep.Worker{
		Read: stored(t, rows), Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler), Grace: 10 * time.Second,
		Held: func(_ context.Context, id uuid.UUID) (bool, error) { asked++; return id == disabled, nil },
		Wake: func(_ context.Context, key domain.Key, _ time.Time) error { woken = append(woken, key); return nil },
	}
	for range 2 { // the next round begins anew
		woken, asked = nil, 0
		n, err := w.Sweep(t.Context())
		if err != nil || n != 1 || len(woken) != 1 || woken[0].Grant != lost.Grant || asked != 2 {
			t.Errorf("woke %d grants %v, asked for %d links, %v; want the lost one and 2 links", n, woken, asked, err)
		}
	}
}

// A round is bounded, the next one goes on where it stopped, and an error skips
// nobody.
func TestRoundsGoOn(t *testing.T) {
	id := uuid.New()
	var rows []projections.GrantRow
	for i := range 2500 {
		rows = append(rows, overdue(id, fmt.Sprint(i), time.Hour+time.Duration(i)*time.Second))
	}
	woken, fail := map[uuid.UUID]bool{}, false
	w := &sweep.Worker{
		Read: stored(t, rows), Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
		Held: func(context.Context, uuid.UUID) (bool, error) { return false, nil },
		Wake: func(_ context.Context, key domain.Key, _ time.Time) error {
			if fail {
				return errors.New("the log is away")
			}
			woken[key.Grant] = true
			return nil
		},
	}
	for _, tt := range []struct {
		fail bool
		all  int
	}{{false, 1000}, {true, 1000}, {false, 2000}, {false, 2500}} {
		fail = tt.fail
		n, err := w.Sweep(t.Context())
		if n > 1000 || (err != nil) != tt.fail || len(woken) != tt.all {
			t.Errorf("a round woke %d, %v; %d in all, want %d", n, err, len(woken), tt.all)
		}
	}
}
