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

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// listed gives pages of grants. Of those that failed half wait for their link,
// every other one after a lost answer; the others are healthy, and the time of half of
// them has come.
type listed int

func (listed) state(i int) grant.State {
	switch i % 4 {
	case 0:
		return grant.State{Version: 1, Credential: token(now), Failures: 1, RetryAt: now.Add(time.Hour), Deferred: grant.LinkTrouble, Ambiguities: i / 4 % 2}
	case 1:
		return grant.State{Version: 1, Credential: token(now), Failures: 1, RetryAt: now.Add(time.Hour), Deferred: grant.Transient}
	}
	return grant.State{Version: 1, Credential: token(now.Add(time.Duration(i%4*2-5) * time.Hour))} // due an hour ago, or in one
}

func token(due time.Time) *grant.TokenIssued {
	return &grant.TokenIssued{Refreshable: true, RefreshAt: due, ExpiresAt: due.Add(time.Hour)}
}

func (n listed) Grants(_ context.Context, f projections.GrantFilter) ([]projections.GrantRow, string, error) {
	from, _ := strconv.Atoi(f.After)
	var rows []projections.GrantRow
	i := from
	for ; i < int(n) && len(rows) < f.Limit; i++ {
		if s := n.state(i); f.Status == "" || s.Status() == f.Status {
			rows = append(rows, projections.GrantRow{Link: f.Link, Grant: grant.ID(f.Link, fmt.Sprint(i)), State: s})
		}
	}
	if i < int(n) {
		return rows, fmt.Sprint(i), nil
	}
	return rows, "", nil
}

// Those that waited for the link are woken, spread over the pages' paces, and on
// its enabling also those whose time has come; others and other events wake nobody.
func TestHandle(t *testing.T) {
	for name, tt := range map[string]struct {
		event link.Event
		woken int
		pages int
	}{
		"recovered":  {link.Recovered{}, 600, 3},
		"new secret": {link.ClientSecretReplaced{}, 600, 3},
		"updated":    {link.Updated{}, 600, 3},
		"enabled":    {link.Enabled{}, 1200, 5},
		"degraded":   {link.Degraded{}, 0, 0},
		"deleted":    {link.Deleted{}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			woken := map[domain.Key]time.Time{}
			w := wake.Worker{
				Read: listed(2400), Now: func() time.Time { return now }, Spread: func() float64 { return 0.5 },
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
			within := max(0, time.Duration(tt.pages)*10*time.Second-5*time.Second)
			if len(woken) != tt.woken || latest.Sub(now) != within {
				t.Errorf("woke %d grants within %s, want %d within %s", len(woken), latest.Sub(now), tt.woken, within)
			}
		})
	}
}
