package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
)

// testLinks: given these links, each filter lists these, newest change first.
func testLinks(t *testing.T, open Open) {
	s := migrated(t, open)
	l := (&Log{Batch: 1}).
		Link("1", created("CRM", "google")).
		Link("2", created("crash reports", "microsoft")).
		Link("3", created("Drive", "google")).Link("3", link.Disabled{}).
		Link("4", created("Mail", "google")).Link("4", link.Degraded{Reason: link.ClientRejected}).
		Link("5", created("crm", "google")).Link("5", link.Deleted{}).
		Link("6", created("Crème brûlée", "custom")).
		Grant("1/ann", issued("ann", 1, time.Hour)).Grant("1/ann", grant.ReauthorizationRequired{}). // it needs attention now
		Grant("2/ann", begun("ann")).Grant("6/ann", begun("ann"))                                    // that changes no link's health
	project(t, s, l)
	for name, tt := range map[string]struct {
		filter projections.LinkFilter
		want   []string
	}{
		"all but deleted":     {projections.LinkFilter{}, []string{"CRM", "Crème brûlée", "Mail", "Drive", "crash reports"}},
		"active":              {projections.LinkFilter{Status: link.StatusActive}, []string{"CRM", "Crème brûlée", "crash reports"}},
		"degraded":            {projections.LinkFilter{Status: link.StatusDegraded}, []string{"Mail"}},
		"disabled":            {projections.LinkFilter{Status: link.StatusDisabled}, []string{"Drive"}},
		"deleted":             {projections.LinkFilter{Status: link.StatusDeleted}, []string{"crm"}},
		"provider":            {projections.LinkFilter{Provider: "google"}, []string{"CRM", "Mail", "Drive"}},
		"provider and status": {projections.LinkFilter{Provider: "google", Status: link.StatusActive}, []string{"CRM"}},
		"no such provider":    {projections.LinkFilter{Provider: "goo"}, nil},
		"prefix, by name":     {projections.LinkFilter{Text: "cr"}, []string{"crash reports", "CRM", "Crème brûlée"}},
		"prefix in capitals":  {projections.LinkFilter{Text: "CRM"}, []string{"CRM"}},
		"prefix not ASCII":    {projections.LinkFilter{Text: "CRÈ"}, []string{"Crème brûlée"}},
		"prefix and status":   {projections.LinkFilter{Text: "c", Status: link.StatusDeleted}, []string{"crm"}},
		"prefix and provider": {projections.LinkFilter{Text: "c", Provider: "custom"}, []string{"Crème brûlée"}},
		"no prefix but part":  {projections.LinkFilter{Text: "rm"}, nil},
		"no pattern":          {projections.LinkFilter{Text: "%"}, nil},
		"name":                {projections.LinkFilter{Name: "crm"}, []string{"CRM"}},
		"name of deleted":     {projections.LinkFilter{Name: "CRM", Status: link.StatusDeleted}, []string{"crm"}},
		"no part of a name":   {projections.LinkFilter{Name: "cr"}, nil},
		"first of many":       {projections.LinkFilter{Limit: 2}, []string{"CRM", "Crème brûlée"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, next, err := s.Links(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, names(rows)); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
			if (next != "") != (tt.filter.Limit != 0) {
				t.Errorf("next page is %q", next)
			}
		})
	}
}

// testLinkPages: pages put together are the whole list, in every order.
func testLinkPages(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log)
	for i := range 23 {
		id := fmt.Sprint(i)
		l.Link(id, created("Same", "google")) // names may be equal while links are deleted
		switch i % 4 {
		case 1:
			l.Link(id, link.Disabled{})
		case 2:
			l.Link(id, link.Degraded{Reason: link.ConfigError})
		}
	}
	project(t, s, l)
	for name, f := range map[string]projections.LinkFilter{
		"newest": {}, "by name": {Text: "sa"}, "one status": {Status: link.StatusActive}, "exact name": {Name: "same"}, "provider": {Provider: "google"},
	} {
		t.Run(name, func(t *testing.T) {
			f.Limit = 100
			whole, next, err := s.Links(t.Context(), f)
			if err != nil || next != "" || len(whole) < 6 {
				t.Fatalf("%d links on one page, next %q, error %v", len(whole), next, err)
			}
			for _, size := range []int{1, 5, len(whole)} {
				f.Limit = size
				pages := pages(t, len(whole), func(after string) ([]projections.LinkRow, string, error) {
					f.After = after
					return s.Links(t.Context(), f)
				})
				if diff := cmp.Diff(whole, pages); diff != "" {
					t.Errorf("pages of %d (-whole +pages):\n%s", size, diff)
				}
			}
		})
	}
}

// pages follows cursors to the end, and fails when there is no end.
func pages[Row any](t testing.TB, most int, page func(after string) ([]Row, string, error)) []Row {
	t.Helper()
	var all []Row
	for after := ""; ; {
		rows, next, err := page(after)
		if err != nil {
			t.Fatalf("page after %q: %v", after, err)
		}
		all = append(all, rows...)
		if next == "" || len(all) > most {
			return all
		}
		after = next
	}
}

// testGrants: given these grants, each filter lists these, by subject.
func testGrants(t *testing.T, open Open) {
	s := migrated(t, open)
	future := time.Since(Noon) + 24*time.Hour // of the reader's clock: not stale
	l := (&Log{Batch: 1}).Link("crm", created("CRM", "google")).Link("hr", created("HR", "google")).
		Grant("crm/fay", issued("fay", 1, time.Hour)).
		Grant("crm/ann", issued("ann", 1, time.Hour)).Grant("crm/ann", started(1)).
		Grant("crm/Bob", issued("Bob", 1, -time.Hour)).Grant("crm/Bob", started(1)).Grant("crm/Bob", deferred(1, grant.Transient)).
		Grant("crm/cid", issued("cid", 1, -time.Hour)).Grant("crm/cid", issued("cid", 2, future)).Grant("crm/cid", started(1)).Grant("crm/cid", deferred(1, grant.Transient)).
		Grant("crm/dee", issued("dee", 1, time.Hour)).Grant("crm/dee", dead).
		Grant("crm/eve", issued("eve", 1, time.Hour)).Grant("crm/eve", grant.Revoked{}).
		Grant("hr/ann", issued("ann", 1, time.Hour))
	project(t, s, l)
	for name, tt := range map[string]struct {
		filter projections.GrantFilter
		want   []string
	}{
		"all":            {projections.GrantFilter{}, []string{"Bob", "ann", "cid", "dee", "eve", "fay"}},
		"active":         {projections.GrantFilter{Status: grant.StatusActive}, []string{"fay"}},
		"refreshing":     {projections.GrantFilter{Status: grant.StatusRefreshing}, []string{"ann"}},
		"retrying":       {projections.GrantFilter{Status: grant.StatusRetrying}, []string{"Bob", "cid"}},
		"stale":          {projections.GrantFilter{Status: grant.StatusStale}, []string{"Bob"}},
		"consent needed": {projections.GrantFilter{Status: grant.StatusReauthorizationRequired}, []string{"dee"}},
		"revoked":        {projections.GrantFilter{Status: grant.StatusRevoked}, []string{"eve"}},
		"none pending":   {projections.GrantFilter{Status: grant.StatusPending}, nil},
		"first two":      {projections.GrantFilter{Limit: 2}, []string{"Bob", "ann"}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.filter.Link = LinkID("crm")
			rows, next, err := s.Grants(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, subjects(rows)); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			if (next != "") != (tt.filter.Limit != 0) {
				t.Errorf("next page is %q", next)
			}
		})
	}
	if rows, _, err := s.Grants(t.Context(), projections.GrantFilter{Link: LinkID("nobody")}); err != nil || len(rows) != 0 {
		t.Errorf("an unknown link lists %v, error %v", subjects(rows), err)
	}
}

func testGrantPages(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("CRM", "google"))
	for i := range 13 {
		subject := fmt.Sprintf("%c%d", "aBç"[i%2], i)
		l.Grant("crm/"+subject, begun(subject))
	}
	project(t, s, l)
	for _, f := range []projections.GrantFilter{{Limit: 100}, {Limit: 100, Status: grant.StatusPending}} {
		f.Link = LinkID("crm")
		whole, _, err := s.Grants(t.Context(), f)
		if err != nil || len(whole) != 13 {
			t.Fatalf("%d grants on one page, error %v", len(whole), err)
		}
		for _, size := range []int{1, 4, 13} {
			f.Limit = size
			pages := pages(t, len(whole), func(after string) ([]projections.GrantRow, string, error) {
				f.After = after
				return s.Grants(t.Context(), f)
			})
			if diff := cmp.Diff(whole, pages); diff != "" {
				t.Errorf("pages of %d (-whole +pages):\n%s", size, diff)
			}
		}
	}
}

// testActivity: a link's timeline has its own events and those of its grants.
func testActivity(t *testing.T, open Open) {
	s := migrated(t, open)
	l := (&Log{Batch: 1}).Link("crm", created("CRM", "google")).Link("hr", created("HR", "google")).
		Grant("crm/ann", begun("ann")).Grant("crm/bob", begun("bob")).Grant("crm/ann", issued("ann", 1, time.Hour)).
		Link("crm", link.Disabled{Reason: "audit \x00"})
	l.Records[2].Correlation, l.Records[2].Causation = "trace", "command"
	project(t, s, l)
	at := func(i ...int) []domain.Record {
		var all []domain.Record
		for _, n := range i {
			all = append(all, l.Records[n])
		}
		return all
	}
	for name, tt := range map[string]struct {
		filter projections.ActivityFilter
		want   []domain.Record
	}{
		"link":             {projections.ActivityFilter{}, at(5, 4, 3, 2, 0)},
		"grant":            {projections.ActivityFilter{Grant: GrantID("crm/ann")}, at(4, 2)},
		"before":           {projections.ActivityFilter{Before: l.Records[4].Sequence}, at(3, 2, 0)},
		"before, of grant": {projections.ActivityFilter{Grant: GrantID("crm/ann"), Before: l.Records[4].Sequence}, at(2)},
		"newest two":       {projections.ActivityFilter{Limit: 2}, at(5, 4)},
		"before the first": {projections.ActivityFilter{Before: 1}, nil},
		"before any":       {projections.ActivityFilter{Before: ^uint64(0)}, at(5, 4, 3, 2, 0)},
		"another's grant":  {projections.ActivityFilter{Grant: GrantID("hr/ann")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tt.filter.Link = LinkID("crm")
			got, err := s.Activity(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("activity (-want +got):\n%s", diff)
			}
		})
	}
}

// testDue: the sweep finds what somebody must look at, earliest first.
func testDue(t *testing.T, open Open) {
	s := migrated(t, open)
	l := (&Log{Batch: 1}).Link("crm", created("CRM", "google")).
		Grant("crm/late", issued("late", 1, 3*time.Hour)).                                       // due at 14:55
		Grant("crm/soon", issued("soon", 1, time.Hour)).                                         // due at 12:55
		Grant("crm/open", begun("open")).                                                        // due at 12:10
		Grant("crm/held", issued("held", 1, time.Hour)).Grant("crm/held", grant.Suspended{}).    // never due
		Grant("crm/moved", begun("moved")).Grant("crm/moved", issued("moved", 1, 100*time.Hour)) // due later than it was
	project(t, s, l)
	for name, tt := range map[string]struct {
		before time.Duration
		limit  int
		want   []string
	}{
		"none yet":       {10 * time.Minute, 0, nil},
		"just due":       {10*time.Minute + time.Microsecond, 0, []string{"open"}},
		"two":            {time.Hour, 0, []string{"open", "soon"}},
		"earliest first": {1000 * time.Hour, 0, []string{"open", "soon", "late", "moved"}},
		"limit":          {1000 * time.Hour, 2, []string{"open", "soon"}},
		"many":           {1000 * time.Hour, 10_000, []string{"open", "soon", "late", "moved"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, _, err := s.Due(t.Context(), projections.DueFilter{Before: Noon.Add(tt.before), Limit: tt.limit})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, subjects(rows)); diff != "" {
				t.Errorf("due (-want +got):\n%s", diff)
			}
		})
	}
}

// testDuePages: pages of any size give all that is due, each once, also those
// that are due at the same time.
func testDuePages(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("CRM", "google"))
	for i := range 23 {
		subject := fmt.Sprint("s", i)
		l.Grant("crm/"+subject, issued(subject, 1, time.Duration(i/5)*time.Hour))
	}
	project(t, s, l)
	for _, limit := range []int{1, 2, 5, 22, 23, 24} {
		seen, after := map[string]bool{}, ""
		var last time.Time
		for {
			rows, next, err := s.Due(t.Context(), projections.DueFilter{Before: Noon.Add(1000 * time.Hour), After: after, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				if seen[row.State.Subject] || row.State.DueAt().Before(last) {
					t.Errorf("pages of %d: %s comes again or late", limit, row.State.Subject)
				}
				seen[row.State.Subject], last = true, row.State.DueAt()
			}
			if after = next; next == "" {
				break
			}
		}
		if len(seen) != 23 {
			t.Errorf("pages of %d have %d grants, want 23", limit, len(seen))
		}
	}
}

// testLinkHealth: links by what their grants need, and by which ends first.
func testLinkHealth(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log)
	for i, what := range []grant.Event{nil, issued("ann", 1, 3*time.Hour), issued("ann", 1, time.Hour), dead, issued("ann", 1, 2*time.Hour)} {
		name := fmt.Sprint("link", i)
		l.Link(name, created(name, "google"))
		if what != nil {
			l.Grant(name+"/ann", issued("ann", 1, 3*time.Hour))
			l.Grant(name+"/ann", what)
		}
	}
	l.Grant("link4/ann", started(1)).Grant("link4/ann", deferred(1, grant.Transient))
	project(t, s, l)
	for name, tt := range map[string]struct {
		filter projections.LinkFilter
		want   []string
	}{
		"none":               {projections.LinkFilter{Health: projections.HealthNone}, []string{"link0"}},
		"healthy":            {projections.LinkFilter{Health: projections.HealthHealthy}, []string{"link2", "link1"}},
		"retrying":           {projections.LinkFilter{Health: projections.HealthRetrying}, []string{"link4"}},
		"attention":          {projections.LinkFilter{Health: projections.HealthAttention}, []string{"link3"}},
		"attention, another": {projections.LinkFilter{Health: projections.HealthAttention, Provider: "custom"}, nil},
		"expiring":           {projections.LinkFilter{Expiring: Noon.Add(4 * time.Hour)}, []string{"link2", "link4", "link1"}},
		"expiring soon":      {projections.LinkFilter{Expiring: Noon.Add(150 * time.Minute)}, []string{"link2", "link4"}},
		"expiring, healthy":  {projections.LinkFilter{Expiring: Noon.Add(4 * time.Hour), Health: projections.HealthHealthy}, []string{"link2", "link1"}},
		"expiring, by name":  {projections.LinkFilter{Expiring: Noon.Add(4 * time.Hour), Text: "LINK4"}, []string{"link4"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, _, err := s.Links(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, names(rows)); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
		})
	}
	var paged []string
	for f := (projections.LinkFilter{Expiring: Noon.Add(4 * time.Hour), Limit: 1}); ; {
		rows, next, err := s.Links(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, names(rows)...)
		if f.After = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"link2", "link4", "link1"}, paged); diff != "" {
		t.Errorf("pages by expiry (-want +got):\n%s", diff)
	}
	_, _, err := s.Links(t.Context(), projections.LinkFilter{Health: "odd"})
	wantCode(t, domain.InvalidArgument, "a health that there is not", err)
	if err == nil || !strings.Contains(err.Error(), `health "odd"`) {
		t.Errorf("a health that there is not is said to be %v", err)
	}
}
