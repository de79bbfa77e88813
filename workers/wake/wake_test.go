package wake_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
	"outlink/workers/wake"
)

// listed gives pages of grants, half of which wait for their link.
type listed int

func (n listed) Grants(_ context.Context, f projections.GrantFilter) ([]projections.GrantRow, string, error) {
	from, _ := strconv.Atoi(f.After)
	var rows []projections.GrantRow
	for i := from; i < int(n) && len(rows) < f.Limit; i++ {
		why := grant.LinkTrouble
		if i%2 == 1 {
			why = grant.Transient
		}
		rows = append(rows, projections.GrantRow{Link: f.Link, Grant: grant.ID(f.Link, fmt.Sprint(i)), State: grant.State{Deferred: why}})
	}
	if next := from + len(rows); next < int(n) {
		return rows, fmt.Sprint(next), nil
	}
	return rows, "", nil
}

// Those that waited for the link are woken, spread over the pages' paces; others
// and other events wake nobody.
func TestHandle(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		event link.Event
		woken int
	}{
		"recovered":  {link.Recovered{}, 600},
		"new secret": {link.ClientSecretReplaced{}, 600},
		"updated":    {link.Updated{}, 600},
		"enabled":    {link.Enabled{}, 600},
		"degraded":   {link.Degraded{}, 0},
		"deleted":    {link.Deleted{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			woken := map[domain.Key]time.Time{}
			w := wake.Worker{
				Read: listed(1200), Now: func() time.Time { return now }, Spread: func() float64 { return 0.5 },
				Wake: func(_ context.Context, key domain.Key, at time.Time) error { woken[key] = at; return nil },
			}
			data, err := json.Marshal(tt.event)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Handle(t.Context(), domain.Record{Type: link.Kinds.Type(tt.event), Link: uuid.New(), Data: data}); err != nil {
				t.Fatal(err)
			}
			latest := now
			for _, at := range woken {
				if at.After(latest) {
					latest = at
				}
			}
			if len(woken) != tt.woken || tt.woken > 0 && latest.Sub(now) != 25*time.Second {
				t.Errorf("woke %d grants within %s, want %d within 25s", len(woken), latest.Sub(now), tt.woken)
			}
		})
	}
}
