package projections_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
	"outlink/projections/storetest"
)

// TestFoldEqualsReplay: any events, cut into any batches, leave the rows that a
// replay leaves. It is the small twin of the suite's test, and shrinks.
func TestFoldEqualsReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := history(t), newMemory()
		if err := engineOn(m, l).Run(t.Context()); err != nil {
			t.Fatal("run:", err)
		}
		links, grants, err := projections.Replay(l.Records)
		if err != nil {
			t.Fatal("replay:", err)
		}
		if diff := cmp.Diff(links, m.links); diff != "" {
			t.Errorf("links (-replay +folded):\n%s", diff)
		}
		if diff := cmp.Diff(grants, m.grants); diff != "" {
			t.Errorf("grants (-replay +folded):\n%s", diff)
		}
	})
}

func history(t *rapid.T) *storetest.Log {
	l := &storetest.Log{Batch: rapid.IntRange(1, 8).Draw(t, "batch")}
	for range rapid.IntRange(0, 40).Draw(t, "events") {
		name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "link")
		subject := rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "subject")
		if subject == "" {
			l.Link(name, rapid.SampledFrom([]link.Event{
				link.Created{}, link.Disabled{}, link.Degraded{Reason: link.ClientRejected}, link.Recovered{}, link.Deleted{},
			}).Draw(t, "event"))
			continue
		}
		ends := storetest.Noon.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "hours")) * time.Hour)
		l.Grant(name+"/"+subject, rapid.SampledFrom([]grant.Event{
			grant.AuthorizationBegun{Subject: subject}, grant.TokenIssued{Subject: subject, ExpiresAt: ends}, grant.RefreshStarted{},
			grant.RefreshDeferred{Reason: grant.Ambiguous}, grant.ReauthorizationRequired{}, grant.Suspended{}, grant.Resumed{}, grant.Revoked{},
		}).Draw(t, "event"))
	}
	return l
}

// ExampleReplay folds a log in memory, as tests and verification do.
func ExampleReplay() {
	l := new(storetest.Log).
		Link("crm", link.Created{Config: link.Config{Name: "CRM"}}).
		Grant("crm/ann", grant.AuthorizationBegun{Subject: "ann"})

	links, grants, err := projections.Replay(l.Records)
	fmt.Println(links[storetest.LinkID("crm")].State.Name, links[storetest.LinkID("crm")].Grants.Pending, len(grants), err)
	// Output: CRM 1 1 <nil>
}
